"""The bounded queue of one reader."""

from __future__ import annotations

import asyncio

import pytest

from volok.relay.outbox import Outbox


async def test_frames_come_in_order():
    outbox = Outbox(10, 1000)
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    for text in ("a", "b", "c"):
        outbox.put(text)
    assert [await taking, await outbox.take(), await outbox.take()] == ["a", "b", "c"]


@pytest.mark.parametrize(("frames", "size"), [(11, 1), (3, 500)])
async def test_it_overflows_past_either_bound_and_forgets(frames, size):
    outbox = Outbox(10, 1000)
    for _ in range(frames - 1):
        outbox.put("x" * size)
    assert not outbox.overflowed.is_set()
    outbox.put("x" * size)
    assert outbox.overflowed.is_set()
    await asyncio.wait_for(outbox.room(), 1)


async def test_one_frame_of_any_length_has_room():
    outbox = Outbox(10, 1000)
    outbox.put("x" * 5000)
    assert len(await outbox.take()) == 5000
    assert not outbox.overflowed.is_set()


async def test_who_can_wait_waits_while_it_is_half_full():
    outbox = Outbox(4, 1000)
    outbox.put("a")
    await asyncio.wait_for(outbox.room(), 1)
    outbox.put("b")
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await outbox.take()
    await asyncio.wait_for(waiting, 1)

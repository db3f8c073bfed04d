"""The bounded queue of one reader."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from volok.relay.outbox import Outbox, Turn


@dataclass
class Wire:
    """A socket that takes what it is given, unless it is full."""

    is_writable: bool = True
    written: list[bytes] = field(default_factory=list)

    def send(self, data):
        self.written.append(data)


def outbox_on(wire, frames=10, size=1000):
    return Outbox(frames, size, Turn(), wire)


async def next_turn():
    await asyncio.sleep(0)


async def test_what_is_put_within_one_turn_is_one_write():
    wire = Wire()
    outbox = outbox_on(wire)
    for frame in (b"a", b"b", b"c"):
        outbox.put(frame)
    assert wire.written == []
    await next_turn()
    assert wire.written == [b"abc"]
    outbox.put(b"d")
    await next_turn()
    assert wire.written == [b"abc", b"d"]


async def test_a_reader_who_keeps_up_may_get_any_number_of_frames_in_one_turn():
    wire = Wire()
    outbox = outbox_on(wire)
    for number in range(100):
        outbox.put(b"%03d" % number)
    await next_turn()
    assert b"".join(wire.written) == b"".join(b"%03d" % number for number in range(100))
    assert not outbox.overflowed


@pytest.mark.parametrize(("frames", "size"), [(11, 1), (3, 500)])
async def test_it_overflows_past_either_bound_and_forgets(frames, size):
    wire = Wire(is_writable=False)
    outbox = outbox_on(wire)
    for _ in range(frames - 1):
        outbox.put(b"x" * size)
    waiting = asyncio.create_task(outbox.room())
    await next_turn()
    assert not outbox.overflowed
    outbox.put(b"x" * size)
    assert outbox.overflowed
    await asyncio.wait_for(waiting, 1)
    outbox.put(b"y")
    wire.is_writable = True
    outbox.flush()
    assert wire.written == []


async def test_one_frame_of_any_length_has_room():
    wire = Wire(is_writable=False)
    outbox = outbox_on(wire)
    outbox.put(b"x" * 5000)
    assert not outbox.overflowed
    wire.is_writable = True
    outbox.flush()
    assert wire.written == [b"x" * 5000]


async def test_who_can_wait_waits_until_all_is_written():
    wire = Wire(is_writable=False)
    outbox = outbox_on(wire, frames=4)
    outbox.put(b"a")
    assert not outbox.is_backed_up
    outbox.put(b"b")
    assert outbox.is_backed_up
    waiting = asyncio.create_task(outbox.room())
    await next_turn()
    assert not waiting.done()
    wire.is_writable = True
    outbox.flush()
    await asyncio.wait_for(waiting, 1)
    assert wire.written == [b"ab"]
    await asyncio.wait_for(outbox.room(), 1)

"""How slow a body may be, and who makes room when all places are taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from volok.relay.reading import IDLE_SECONDS, SLOWEST, NoRoom, Room


class Time:
    """The clock of the running loop, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._real, self.ahead = loop.time, 0.0
        monkeypatch.setattr(loop, "time", lambda: self._real() + self.ahead)


@pytest.fixture
async def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


class Sender:
    """A body that comes as a test says."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()

    def send(self, count: int) -> None:
        self._pieces.put_nowait(bytes(count))

    async def body(self) -> AsyncIterator[bytes]:
        while True:
            self.waiting.set()
            piece = await self._pieces.get()
            if not piece:
                return
            yield piece


async def read(room: Room, sender: Sender) -> int:
    with room.place() as coming:
        return sum([len(piece) async for piece in coming.through(sender.body())])


async def test_a_body_arrives():
    sender = Sender()
    for count in (1000, 500, 0):
        sender.send(count)
    room = Room(1)
    assert await read(room, sender) == 1500
    sender.send(0)
    assert await read(room, sender) == 0  # its place is free again


async def test_a_byte_a_minute_holds_no_place(time):
    sender = Sender()
    reading = asyncio.create_task(read(Room(1), sender))
    for _ in range(3):
        await sender.waiting.wait()
        sender.waiting.clear()
        sender.send(1)
        time.ahead += IDLE_SECONDS - 5
    with pytest.raises(TimeoutError):
        await reading
    assert time.ahead < 4 * IDLE_SECONDS


async def test_a_slow_line_is_no_reason_to_cut(time):
    sender = Sender()
    reading = asyncio.create_task(read(Room(1), sender))
    for _ in range(20):
        await sender.waiting.wait()
        sender.waiting.clear()
        time.ahead += 30
        sender.send(30 * SLOWEST)
    await sender.waiting.wait()
    sender.send(0)
    assert await reading == 20 * 30 * SLOWEST


async def test_the_slowest_makes_room_for_the_next(time):
    slow, quick, late = Sender(), Sender(), Sender()
    room = Room(2)
    first = asyncio.create_task(read(room, slow))
    second = asyncio.create_task(read(room, quick))
    await asyncio.gather(slow.waiting.wait(), quick.waiting.wait())
    # So early nobody is slow.
    with pytest.raises(NoRoom):
        await read(room, late)
    quick.waiting.clear()
    quick.send(10_000_000)
    slow.send(10)
    await quick.waiting.wait()
    time.ahead += 10
    third = asyncio.create_task(read(room, late))
    await late.waiting.wait()
    with pytest.raises(TimeoutError):
        await first
    assert room.cuts == 1
    late.send(10_000_000)
    late.waiting.clear()
    await late.waiting.wait()
    time.ahead += 10
    # Both come in well: the next has to wait.
    with pytest.raises(NoRoom):
        await read(room, Sender())
    for sender in (quick, late):
        sender.send(0)
    assert await asyncio.gather(second, third) == [10_000_000, 10_000_000]

"""Followers of a log, and what is committed while they read it."""

from __future__ import annotations

from contextlib import aclosing

from volok.store.store import Entry
from volok.store.tail import Tail

STORED, FLEETING, LATER = (Entry(number, b"{}") for number in (1, 2, 3))


async def test_a_late_read_of_the_log_hides_no_ephemeral_event() -> None:
    """What is read from the log was committed after the ephemeral event, which is not in it."""
    tail = Tail(STORED.number, 100)

    async def read(after: int, limit: int) -> list[Entry]:
        tail.publish([FLEETING], STORED.number)
        tail.publish([LATER], LATER.number)
        return [entry for entry in (STORED, LATER) if entry.number > after]

    async with aclosing(tail.follow(0, read)) as batches:  # type: ignore[type-var]
        assert list(await anext(batches)) == [STORED]
        assert list(await anext(batches)) == [FLEETING, LATER]


async def test_what_left_the_log_is_not_waited_for() -> None:
    tail = Tail(STORED.number, 100)

    async def read(after: int, limit: int) -> list[Entry]:
        if not after:
            tail.publish([LATER], LATER.number)
        return [LATER]

    async with aclosing(tail.follow(0, read)) as batches:  # type: ignore[type-var]
        assert list(await anext(batches)) == [LATER]

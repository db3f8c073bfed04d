"""Running a read of `sqlite_query` in turns."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Generic, TypeVar

import apsw

from volok.store.sqlite_drive import Ask, Rows

T = TypeVar("T")


class Reading(Generic[T]):
    """One read, and how far it got."""

    result: T

    def __init__(self, asking: Generator[Ask, Rows, T], turn_seconds: float) -> None:
        self._asking = asking
        self._turn_seconds = turn_seconds
        self._next: Ask | None = None

    def go_on(self, connection: apsw.Connection) -> bool:
        """Run statements until the read is done or its turn is over; whether it is done.

        Each turn may be given another connection. Raises apsw.Error.
        """
        end = time.monotonic() + self._turn_seconds
        try:
            ask = self._next or next(self._asking)
            while True:
                rows = connection.execute(ask.sql, ask.bindings).fetchall()
                ask = self._asking.send(rows)
                if time.monotonic() >= end:
                    self._next = ask
                    return False
        except StopIteration as done:
            self.result = done.value
            return True

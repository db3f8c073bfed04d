"""Event loops on a clock of their own, for tests of waiting: however busy the machine is, no timer
ends before what was under way.

The clock counts what the loop itself computes, and leaps to the next timer once nothing happened
for a moment. So everything that waits has to be in one loop: sockets of loopback with both ends in
it, threads of its executors. It is nothing for child processes.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any

import pytest

_MOMENT = 0.02
"""Seconds in which whatever was sent over loopback has arrived."""
_PACE = 0.2
"""Seconds of the clock for one of computing, so that a flood has its end."""


class _Selector(selectors.DefaultSelector):
    """Waits for a moment where the loop would wait for a timer, and then has it leap there."""

    def __init__(self) -> None:
        super().__init__()
        self.leapt = 0.0
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not timeout or timeout < 0:
            return super().select(timeout)
        found = super().select(min(timeout, _MOMENT))
        if not found and self.threads:
            found = super().select(None)  # their end wakes the loop
        if not found:
            self.leapt += timeout
        return found


class OwnTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on a clock of its own."""

    def __init__(self) -> None:
        self._own = _Selector()
        super().__init__(self._own)

    def time(self) -> float:
        return self._own.leapt + _PACE * time.thread_time()

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        future = super().run_in_executor(executor, func, *args)
        self._own.threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _: object) -> None:
        self._own.threads -= 1


def minutes_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the running loop waits for is over; of use where child processes take part."""
    loop = asyncio.get_running_loop()
    before = loop.time
    monkeypatch.setattr(loop, "time", lambda: before() + 300)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """For the conftest of a folder: tests marked `own_time` run in such a loop."""
    marked = item.get_closest_marker("own_time") is not None
    return {"own time": OwnTimeLoop} if marked else {"asyncio": asyncio.new_event_loop}

"""What is asked of a relay, and how the answers are counted: the same for every relay.

1. Everything runs in this one process, which takes a small share of a core.
2. A publisher keeps a fixed number of events without an OK in flight (`WINDOW` for each
   connection), so that no relay has more in its queues than another.
3. A refusal ends the run: what a relay turns away it has not done.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass

from bench.relay_wire import Link, Pattern, Refused, connect

WINDOW = 128
"""Events in flight on each connection."""
_CHUNK = 32
"""Events in one write."""
_AT_ONCE = 100
_ID = re.compile(rb'"id": ?"([0-9a-f]{64})"')
_SECONDS = 30.0
"""How long a relay may take to finish."""


class Stalled(Exception):
    """The relay did not answer what it was asked."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How much was done in how many seconds."""

    done: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Per second."""
        return self.done / self.seconds


class Publisher:
    """Sends events on one connection, as fast as they are answered."""

    def __init__(self, link: Link, frames: Sequence[bytes], window: int = WINDOW) -> None:
        self.sent = 0
        self.answered = 0
        self.accepted = 0
        self.finished = asyncio.Event()
        self.last = 0.0
        """When the last answer came (`time.perf_counter`)."""
        self.limit = len(frames)
        """How many may be sent so far."""
        self._link = link
        self._frames = frames
        self._window = window
        self._chunk = min(_CHUNK, window)
        self._answer, self._yes = Pattern(b'"OK"'), Pattern(b"true")
        self._stopped = False
        link.received = self._received

    def go_on(self) -> None:
        """Send what there is room for."""
        while not self._stopped and self.sent - self.answered <= self._window - self._chunk:
            chunk = self._frames[self.sent : min(self.sent + self._chunk, self.limit)]
            if not chunk:
                break
            self._link.write(b"".join(chunk))
            self.sent += len(chunk)
        if self.sent == len(self._frames):
            self.stop()

    def stop(self) -> None:
        """Send no more; `finished` is set when all is answered."""
        self._stopped = True
        if self.answered == self.sent:
            self.finished.set()

    def _received(self, data: bytes) -> None:
        self.accepted += self._yes.count(data)
        if answers := self._answer.count(data):
            self.answered += answers
            self.last = time.perf_counter()
            self.go_on()
            if self._stopped and self.answered == self.sent:
                self.finished.set()


async def ingest(url: str, frames: Sequence[bytes], connections: int, seconds: float) -> Rate:
    """Publish on so many connections at once until the time is over or nothing is left."""
    links = [await connect(url) for _ in range(connections)]
    share = len(frames) // connections
    publishers = [
        Publisher(link, frames[number * share : (number + 1) * share])
        for number, link in enumerate(links)
    ]
    with _closing(links):
        begun = time.perf_counter()
        for publisher in publishers:
            publisher.go_on()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(one.finished.wait() for one in publishers))
        await _finish(publishers)
    done = sum(one.accepted for one in publishers)
    return Rate(done, max(one.last for one in publishers) - begun)


async def query(url: str, filters: Sequence[bytes], connections: int, seconds: float) -> Rate:
    """Ask for stored events, one REQ after the other on each connection; counts the events."""
    done, running, ended = 0, connections, asyncio.Event()
    links = [await connect(url) for _ in range(connections)]
    begun = time.perf_counter()
    questions = itertools.cycle(filters)

    def ask(link: Link) -> None:
        event, end, closed = Pattern(b'"EVENT"'), Pattern(b'"EOSE"'), Pattern(b'"CLOSED"')

        def received(data: bytes) -> None:
            nonlocal done, running
            done += event.count(data)
            if closed.count(data):
                link.close()
            if end.count(data):
                if time.perf_counter() - begun < seconds:
                    link.write(next(questions))
                else:
                    running -= 1
                    if not running:
                        ended.set()

        link.received = received
        link.write(next(questions))

    with _closing(links):
        for link in links:
            ask(link)
        await _within(ended.wait(), links)
        return Rate(done, time.perf_counter() - begun)


async def fanout(
    url: str, frames: Sequence[bytes], wanted: bytes, readers: int, ahead: int
) -> Rate:
    """One connection publishes, so many read; counts deliveries until everybody has everything.

    The publisher stays at most `ahead` events ahead of the slowest reader. `wanted` is the REQ.
    """
    publisher_link = await connect(url)
    links = [await subscribed(url, wanted) for _ in range(readers)]
    counts, least = [0] * readers, 0
    complete = asyncio.Event()
    publisher = Publisher(publisher_link, frames)
    publisher.limit = ahead

    def reader(number: int) -> Callable[[bytes], None]:
        pattern = Pattern(b'"EVENT"')

        def received(data: bytes) -> None:
            nonlocal least
            before = counts[number]
            counts[number] += pattern.count(data)
            if before == least and counts[number] > before and (now := min(counts)) > least:
                least = now
                if least >= len(frames):
                    complete.set()
                publisher.limit = least + ahead
                publisher.go_on()

        return received

    for number, link in enumerate(links):
        link.received = reader(number)
    with _closing([publisher_link, *links]):
        begun = time.perf_counter()
        publisher.go_on()
        await _within(complete.wait(), links)
        return Rate(sum(counts), time.perf_counter() - begun)


async def delays(
    url: str, frames: Sequence[bytes], ids: Sequence[bytes], wanted: bytes, per_second: float
) -> list[float]:
    """Milliseconds from writing an event on one connection to reading it on another."""
    reader, writer = await subscribed(url, wanted), await connect(url)
    sent: dict[bytes, float] = {}
    result: list[float] = []
    complete = asyncio.Event()
    rest = b""

    def received(data: bytes) -> None:
        nonlocal rest
        now, rest = time.perf_counter(), rest + data
        end = 0
        for match in _ID.finditer(rest):
            end = match.end()
            if match[1] in sent:
                result.append(1000 * (now - sent.pop(match[1])))
        rest = rest[end:][-4096:]
        if len(result) == len(frames):
            complete.set()

    reader.received = received
    with _closing([reader, writer]):
        due = time.perf_counter()
        for frame, name in zip(frames, ids, strict=True):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent[name] = time.perf_counter()
            writer.write(frame)
            due += 1 / per_second
        await _within(complete.wait(), [reader, writer])
    return result


async def delays_under_ingest(
    url: str,
    load: Sequence[bytes],
    connections: int,
    probe: Callable[[], Awaitable[list[float]]],
) -> list[float]:
    """What `probe` finds while as many connections publish as fast as they can."""
    links = [await connect(url) for _ in range(connections)]
    share = len(load) // connections
    publishers = [
        Publisher(link, load[number * share : (number + 1) * share])
        for number, link in enumerate(links)
    ]
    with _closing(links):
        for publisher in publishers:
            publisher.go_on()
        found = await probe()
        if any(one.finished.is_set() for one in publishers):
            raise Stalled("the events were used up before the probe ended")
        await _finish(publishers)
    return found


async def idle(url: str, requests: Sequence[bytes], links: list[Link]) -> int:
    """Open a connection for each REQ and wait for its EOSE; appends to `links`, which the caller
    closes. Returns how many the relay took."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(request: bytes) -> bool:
        async with gate:
            try:
                links.append(await subscribed(url, request))
            except (OSError, Refused, Stalled, TimeoutError):
                return False
            return True

    return sum(await asyncio.gather(*map(one, requests)))


async def subscribed(url: str, request: bytes) -> Link:
    """A connection whose REQ got its EOSE. Raises Refused, Stalled, OSError, TimeoutError."""
    link, ended, pattern = await connect(url), asyncio.Event(), Pattern(b'"EOSE"')

    def received(data: bytes) -> None:
        if pattern.count(data):
            ended.set()

    link.received = received
    link.write(request)
    await _within(ended.wait(), [link])
    link.received = _ignore
    return link


async def _finish(publishers: Sequence[Publisher]) -> None:
    for publisher in publishers:
        publisher.stop()
    try:
        async with asyncio.timeout(_SECONDS):
            await asyncio.gather(*(one.finished.wait() for one in publishers))
    except TimeoutError:
        raise Stalled("not every event was answered") from None
    if any(one.accepted != one.answered for one in publishers):
        raise Stalled("events were refused")


async def _within(work: Coroutine[None, None, object], links: Sequence[Link]) -> None:
    """Wait for this; Stalled when it takes too long or a connection is lost meanwhile."""
    waits = [work, *(link.lost.wait() for link in links)]
    tasks = [asyncio.create_task(one) for one in waits]
    done, left = await asyncio.wait(tasks, timeout=_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    if tasks[0] not in done:
        raise Stalled("a connection was closed" if done else "the answer took too long")


@contextlib.contextmanager
def _closing(links: Sequence[Link]) -> Iterator[None]:
    try:
        yield
    finally:
        for link in links:
            link.close()


def _ignore(_data: bytes) -> None:
    pass

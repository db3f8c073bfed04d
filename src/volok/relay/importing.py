"""JSON lines into a store, as `strfry export` and `volok relay export` write them.

1. Nothing in a line stops the import: it is counted and skipped. A store that fails does.
2. Each event is verified as if a client had sent it. Limits of size and time are not asked: what is
   read is a relay's own keeping.
3. A request to vanish for other relays is left out (NIP-62), and so is what no relay keeps:
   authentication and ephemeral events.
4. Fields that NIP-01 does not name (strfry's `fried`) are ignored.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from typing import BinaryIO

import orjson

from volok.model.auth import AUTH
from volok.model.crypto import Verifier
from volok.model.event import Event, InvalidEvent, parse_event, verify_event
from volok.model.supersession import VANISH, Lifetime, lifetime
from volok.relay.policy import means_us
from volok.store.store import Outcome, Store

MAX_LINE = 4 * 1024 * 1024
"""Bytes of the longest line that is read; the rest of a longer one is passed over."""
_BATCH = 1_000
_BATCH_BYTES = 8 * 1024 * 1024
_CHUNK = 64
"""Signatures that one thread verifies at a time."""


@dataclass(slots=True)
class ImportReport:
    """What became of the lines so far; together they are all lines that were not empty."""

    added: int = 0
    duplicate: int = 0
    """Here already."""
    superseded: int = 0
    """A newer version is here."""
    deleted: int = 0
    """Its author, or its addressee, has deleted it or vanished."""
    expired: int = 0
    malformed: int = 0
    """No event, or too long."""
    forged: int = 0
    """The id or the signature is wrong."""
    not_kept: int = 0
    """Ephemeral, an authentication, or a request to vanish from other relays."""

    @property
    def lines(self) -> int:
        """All of these together."""
        return sum(getattr(self, field.name) for field in fields(self))

    def count(self, outcomes: Iterable[Outcome]) -> None:
        """Add what a store said."""
        for outcome, number in Counter(outcomes).items():
            setattr(self, outcome.value, getattr(self, outcome.value) + number)


def lines_of(file: BinaryIO, longest: int = MAX_LINE) -> Iterator[bytes | None]:
    """The lines of a file without their ends, in bounded memory; None for one that is too long.

    Empty lines are left out. Raises OSError.
    """
    while line := file.readline(longest + 2):
        if len(line.rstrip(b"\r\n")) > longest:
            while line and not line.endswith(b"\n"):
                line = file.readline(longest)
            yield None
        elif stripped := line.strip():
            yield stripped


def read_line(line: bytes) -> Event:
    """The event that stands on a line; nobody has verified it yet. Raises InvalidEvent."""
    try:
        return parse_event(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        raise InvalidEvent("The line is not JSON.") from error


async def import_lines(
    lines: Iterable[bytes | None],
    store: Store,
    verifier: Verifier,
    now: Callable[[], int],
    *,
    public_urls: Collection[str] = (),
    verify: bool = True,
    progress: Callable[[ImportReport], None] | None = None,
) -> ImportReport:
    """Add the events of these lines (`lines_of`) to an open store, a batch at a time.

    `now` gives Unix seconds; `public_urls` are those of the relay whose store this is. Without
    `verify` ids and signatures are believed. `progress` hears of each batch. Raises StoreError, and
    what reading the lines raises; what was reported by then is in the store.
    """
    report = ImportReport()
    with ThreadPoolExecutor(2, "volok-import") as pool:
        check = partial(_genuine, verifier, pool) if verify else None
        for events in _batches(lines, report, public_urls):
            genuine = await check(events) if check else events
            report.forged += len(events) - len(genuine)
            if genuine:
                report.count(await store.add(genuine, now()))
            if progress:
                progress(report)
    return report


def _batches(
    lines: Iterable[bytes | None], report: ImportReport, public_urls: Collection[str]
) -> Iterator[list[Event]]:
    events: list[Event] = []
    size = 0
    for line in lines:
        try:
            event = read_line(line or b"")
        except InvalidEvent:
            report.malformed += 1
            continue
        if not _is_kept(event, public_urls):
            report.not_kept += 1
            continue
        events.append(event)
        size += len(line or b"")
        if len(events) == _BATCH or size >= _BATCH_BYTES:
            yield events
            events, size = [], 0
    yield events


def _is_kept(event: Event, public_urls: Collection[str]) -> bool:
    if event.kind == VANISH:
        return means_us(event, public_urls)
    return event.kind != AUTH and lifetime(event.kind) is not Lifetime.EPHEMERAL


async def _genuine(
    verifier: Verifier, pool: ThreadPoolExecutor, events: Sequence[Event]
) -> list[Event]:
    loop = asyncio.get_running_loop()

    def check(chunk: Sequence[Event]) -> list[Event]:
        return [event for event in chunk if verify_event(event, verifier)]

    chunks = [events[start : start + _CHUNK] for start in range(0, len(events), _CHUNK)]
    checked = await asyncio.gather(*(loop.run_in_executor(pool, check, one) for one in chunks))
    return [event for chunk in checked for event in chunk]

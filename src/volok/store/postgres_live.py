"""The live end of a log that several processes write: what comes next, however it is told.

Each commit makes a `Batch`: the numbers it has given out, without a gap. Processes tell each other
their batches over a bus (`bus`), which may lose, repeat and reorder; what is missing is read from
the database. Pure, but for the randomness that is passed in.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from volok.model.crypto import CryptoError
from volok.model.supersession import Lifetime, lifetime
from volok.store.postgres_rows import Cipher, seal, unseal
from volok.store.store import Entry, StoreError

_VERSION = 1
_HEAD = struct.Struct("<BQQQI")
_ENTRY = struct.Struct("<QI")
_MOST_HELD = 10_000
"""Batches that may wait for an earlier one."""


class InvalidMessage(ValueError):
    """This did not come from a relay of this store."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit has brought: the numbers above `before` up to `last`."""

    before: int
    last: int
    head: int
    """The newest stored entry after it."""
    entries: Sequence[Entry]
    """Those that were not erased at once, in order."""


class Order:
    """Puts batches in order, each number once."""

    def __init__(self, position: int) -> None:
        """`position`: the last number that is known already."""
        self.position = position
        self._waiting: dict[int, Batch] = {}

    @property
    def has_gap(self) -> bool:
        """Whether something waits for what has not been told."""
        return bool(self._waiting)

    def offer(self, batch: Batch) -> list[Batch]:
        """Take a batch in; returns what follows on what was returned before."""
        if batch.last > self.position and len(self._waiting) < _MOST_HELD:
            self._waiting[batch.before] = batch
        return list(self._ready())

    def fill(self, batch: Batch) -> list[Batch]:
        """Take in what the database holds from the position on; ephemeral events, which it does not
        hold, are added from what waits. Returns what follows."""
        known = {entry.number: entry for entry in batch.entries}
        for waiting in self._waiting.values():
            for entry in waiting.entries:
                if entry.number <= batch.last and (
                    lifetime(entry.event.kind) is Lifetime.EPHEMERAL
                ):
                    known[entry.number] = entry
        whole = Batch(batch.before, batch.last, batch.head, [known[n] for n in sorted(known)])
        self._waiting = {b.before: b for b in self._waiting.values() if b.last > batch.last}
        return [*self._next(whole), *self._ready()]

    def _ready(self) -> Iterator[Batch]:
        while True:
            batch = next((b for b in self._waiting.values() if b.before <= self.position), None)
            if batch is None:
                return
            del self._waiting[batch.before]
            yield from self._next(batch)

    def _next(self, batch: Batch) -> Iterator[Batch]:
        if batch.last > self.position:
            fresh = [entry for entry in batch.entries if entry.number > self.position]
            self.position = batch.last
            yield Batch(batch.before, batch.last, batch.head, fresh)


def to_messages(batch: Batch, cipher: Cipher, key: bytes, most: int) -> Iterator[bytes]:
    """A batch as sealed messages of at most `most` bytes, unless one entry alone is longer."""
    parts: list[bytes] = []
    size, before, head = 0, batch.before, batch.before
    for entry in batch.entries:
        part = _ENTRY.pack(entry.number, len(entry.raw)) + entry.raw
        if parts and size + len(part) > most:
            yield _sealed(before, entry.number - 1, min(head, batch.head), parts, cipher, key)
            parts, size, before = [], 0, entry.number - 1
        parts.append(part)
        size += len(part)
        head = entry.number
    yield _sealed(before, batch.last, batch.head, parts, cipher, key)


def parse_message(data: bytes, cipher: Cipher, key: bytes) -> Batch:
    """The inverse of one of `to_messages`. Raises InvalidMessage."""
    try:
        plain = unseal(cipher, key, data)
        version, before, last, head, count = _HEAD.unpack_from(plain)
        if version != _VERSION:
            raise InvalidMessage
        entries, offset = [], _HEAD.size
        for _ in range(count):
            number, length = _ENTRY.unpack_from(plain, offset)
            offset += _ENTRY.size + length
            entry = Entry(number, plain[offset - length : offset])
            if not before < number <= last or len(entry.raw) != length or not entry.event:
                raise InvalidMessage
            entries.append(entry)
    except (CryptoError, struct.error, StoreError, ValueError) as error:
        raise InvalidMessage from error
    return Batch(before, last, head, entries)


def _sealed(
    before: int, last: int, head: int, parts: Sequence[bytes], cipher: Cipher, key: bytes
) -> bytes:
    plain = _HEAD.pack(_VERSION, before, last, head, len(parts)) + b"".join(parts)
    return seal(cipher, key, plain)

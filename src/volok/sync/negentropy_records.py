"""What negentropy reconciles: an ordered set of records, each a created_at and an id. Pure.

1. A record is 40 bytes as `Store.stamps` gives them: created_at, then the id; so records in order
   are bytes in order. A set is one byte string: 40 MB for a million records.
2. A fingerprint takes the sum of a range's ids. Sums from the beginning are kept for every 32nd
   record (2 MB for a million), so that the sum of any range is a subtraction and a few additions.
3. Sets are made once and never changed. What takes long yields between slices of about a
   millisecond, so that others need not wait for it.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TypeVar

from volok.sync.negentropy_codec import FINGERPRINT_BYTES, ID_BYTES, TIME_BYTES, varint

T = TypeVar("T")

RECORD_BYTES = TIME_BYTES + ID_BYTES

_BLOCK = 32
"""Records between two sums that are kept."""
_BLOCK_BYTES = _BLOCK * RECORD_BYTES
_BLOCKS_AT_ONCE = 200
_RECORDS_AT_ONCE = 2000
_RUNS_AT_ONCE = 50

_LANE = 8 * RECORD_BYTES
_TIME_BITS = 8 * TIME_BYTES
_IDS = int.from_bytes((b"\x00" * TIME_BYTES + b"\xff" * ID_BYTES) * _BLOCK, "little")
_HALVES = [(count * _LANE, (1 << count * _LANE) - 1) for count in (16, 8, 4, 2, 1)]
_SUM = (1 << 8 * ID_BYTES) - 1


def finish(work: Generator[None, None, T]) -> T:
    """Do something that yields between slices in one go; returns its result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


class Records:
    """An ordered set of records. Make it with `assemble` or `of`."""

    __slots__ = ("_packed", "_sums")

    def __init__(self, packed: bytes, sums: Sequence[int]) -> None:
        """Use `assemble`."""
        self._packed = packed
        self._sums = sums

    @classmethod
    def of(cls, records: Iterable[bytes]) -> Records:
        """The set of these records, in any order."""
        return finish(assemble([b"".join(sorted(set(records)))]))

    def __len__(self) -> int:
        return len(self._packed) // RECORD_BYTES

    @property
    def packed(self) -> bytes:
        """All records, in order."""
        return self._packed

    def key(self, place: int) -> bytes:
        """The record at a place, from 0."""
        return self._packed[place * RECORD_BYTES : (place + 1) * RECORD_BYTES]

    def lower_bound(self, key: bytes, start: int = 0) -> int:
        """The place, from `start`, of the first record that is not below `key`."""
        return _lower_bound(self._packed, key, start, len(self))

    def ids(self, start: int, end: int) -> list[bytes]:
        """The ids of the records at places from `start` up to, not including, `end`."""
        packed = self._packed
        steps = range(start * RECORD_BYTES + TIME_BYTES, end * RECORD_BYTES, RECORD_BYTES)
        return [packed[at : at + ID_BYTES] for at in steps]

    def fingerprint(self, start: int, end: int) -> bytes:
        """The 16-byte digest of the ids at places from `start` up to, not including, `end`."""
        first, last = -(-start // _BLOCK), end // _BLOCK
        if first > last:
            total = self._add_up(start, end)
        else:
            total = self._sums[last] - self._sums[first]
            total += self._add_up(start, first * _BLOCK) + self._add_up(last * _BLOCK, end)
        data = (total & _SUM).to_bytes(ID_BYTES, "little") + varint(end - start)
        return hashlib.sha256(data).digest()[:FINGERPRINT_BYTES]

    def _add_up(self, start: int, end: int) -> int:
        return sum([int.from_bytes(one, "little") for one in self.ids(start, end)])


def assemble(
    runs: Sequence[bytes], without: Sequence[bytes] = ()
) -> Generator[None, None, Records]:
    """Make the set of what is in any of `runs` and in none of `without`; yields between slices.

    Each run is records in order, none twice; the same record may be in several runs.
    """
    packed = yield from _union(runs)
    if packed and any(without):
        unwanted = yield from _union(without)
        packed = yield from _merged([packed], unwanted)
    sums = [0]
    total = 0
    for number, start in enumerate(range(0, len(packed) - _BLOCK_BYTES + 1, _BLOCK_BYTES)):
        total += _sum_of_block(packed[start : start + _BLOCK_BYTES])
        sums.append(total)
        if number % _BLOCKS_AT_ONCE == 0:
            yield
    return Records(packed, sums)


def _sum_of_block(block: bytes) -> int:
    # All ids as one number, each with 64 zero bits above it: halves are added until one is left.
    lanes = int.from_bytes(block, "little") & _IDS
    for bits, lower in _HALVES:
        lanes = (lanes & lower) + (lanes >> bits)
    return lanes >> _TIME_BITS


def _union(runs: Sequence[bytes]) -> Generator[None, None, bytes]:
    ordered = sorted((run for run in runs if run), key=lambda run: run[:RECORD_BYTES])
    chains: list[list[bytes]] = []
    ends: list[tuple[bytes, int]] = []
    for run in ordered:
        if ends and ends[0][0] < run[:RECORD_BYTES]:
            chain = ends[0][1]
            chains[chain].append(run)
            heapq.heapreplace(ends, (run[-RECORD_BYTES:], chain))
        else:
            heapq.heappush(ends, (run[-RECORD_BYTES:], len(chains)))
            chains.append([run])
    joined = [b"".join(chain) for chain in chains]
    yield
    while len(joined) > 1:
        some, joined = joined[:_RUNS_AT_ONCE], joined[_RUNS_AT_ONCE:]
        joined.append((yield from _merged(some, b"")))
    return b"".join(joined)


def _merged(runs: Sequence[bytes], without: bytes) -> Generator[None, None, bytes]:
    """What is in any of the runs, of which there is one at least, and not in `without`."""
    longest = max(runs, key=len)
    step = max(1, _RECORDS_AT_ONCE * len(longest) // sum(map(len, runs)))
    places, gone = [0] * len(runs), 0
    pieces: list[bytes] = []
    for start in range(step, len(longest) // RECORD_BYTES + step, step):
        bound = longest[start * RECORD_BYTES : (start + 1) * RECORD_BYTES]
        part: list[bytes] = []
        for number, run in enumerate(runs):
            more, places[number] = _below(run, bound, places[number])
            part += more
        part.sort()
        unique = dict.fromkeys(part)
        unwanted, gone = _below(without, bound, gone)
        for one in unwanted:
            unique.pop(one, None)
        pieces.append(b"".join(unique))
        yield
    return b"".join(pieces)


def _below(packed: bytes, bound: bytes, start: int) -> tuple[list[bytes], int]:
    """The records from a place on that are below a bound (b"": all), and the place after them."""
    end = len(packed) // RECORD_BYTES
    if bound:
        end = _lower_bound(packed, bound, start, end)
    return list(_each(packed[start * RECORD_BYTES : end * RECORD_BYTES])), end


def _each(packed: bytes) -> Iterator[bytes]:
    for start in range(0, len(packed), RECORD_BYTES):
        yield packed[start : start + RECORD_BYTES]


def _lower_bound(packed: bytes, key: bytes, low: int, high: int) -> int:
    while low < high:
        middle = (low + high) // 2
        if packed[middle * RECORD_BYTES : (middle + 1) * RECORD_BYTES] < key:
            low = middle + 1
        else:
            high = middle
    return low

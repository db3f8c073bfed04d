"""Set reconciliation by negentropy, protocol version 1 (NIP-77). Pure: frames in, frames out.

1. The initiator opens with fingerprints of 16 ranges. Whoever gets a fingerprint that is not its
   own splits that range in 16 again; a range of less than 32 records is told by its ids.
2. The responder answers a list of ids with its own; from that the initiator learns what each side
   lacks. The responder keeps nothing between two frames.
3. A frame ends before it grows above the limit; then one fingerprint stands for all that follows.
4. Work for one frame is bounded by its length and by the limit of ours.

Ranges, splits and bounds are chosen as by the reference implementation, byte for byte; only the
fingerprint in rule 3 covers all of the range for which it stands, also what did not fit any more.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from volok.sync.negentropy_codec import (
    FINGERPRINT_BYTES,
    ID_BYTES,
    INFINITY,
    TIME_BYTES,
    VERSION,
    VERSIONS,
    FrameReader,
    FrameWriter,
    InvalidFrame,
    Mode,
)
from volok.sync.negentropy_records import Records, finish

LEAST_LIMIT = 4096
"""The smallest limit of a frame, in bytes."""

_BUCKETS = 16
_MARGIN = 200
"""Bytes below the limit at which a frame ends; the last ranges need some."""
_FIRST = bytes(TIME_BYTES)
_START = bytes((VERSION,))


@dataclass(frozen=True, slots=True)
class Step:
    """What the initiator learned from a frame."""

    reply: bytes | None
    """The next frame to send; None when all is known."""
    have: tuple[bytes, ...] = ()
    """Ids that we have and the other side lacks. With a limit, some may be told twice."""
    need: tuple[bytes, ...] = ()
    """Ids that the other side has and we lack."""


class Initiator:
    """The side that asks. `limit` is the most bytes of a frame of ours, from 4096; 0 for any."""

    def __init__(self, records: Records, limit: int = 0) -> None:
        """Raises ValueError for a limit below 4096."""
        self._records = records
        self._limit = _checked(limit)

    def start(self) -> bytes:
        """The first frame."""
        return _START + _split(FrameWriter(), self._records, 0, len(self._records), INFINITY)

    def take(self, frame: bytes) -> Step:
        """What an answer tells. Raises InvalidFrame."""
        return finish(self.taking(frame))

    def taking(self, frame: bytes) -> Generator[None, None, Step]:
        """The same in slices. Raises InvalidFrame."""
        reader = FrameReader(frame)
        if _version(reader) != VERSION:
            raise InvalidFrame("The other side speaks another version of the protocol.")
        turn = _Turn(self._records, self._limit, initiates=True)
        yield from turn.work(reader)
        reply = bytes(turn.out) if len(turn.out) > len(_START) else None
        return Step(reply, tuple(turn.have), tuple(turn.need))


class Responder:
    """The side that is asked. `limit`: see `Initiator`."""

    def __init__(self, records: Records, limit: int = 0) -> None:
        """Raises ValueError for a limit below 4096."""
        self._records = records
        self._limit = _checked(limit)

    def answer(self, frame: bytes) -> bytes:
        """The answer to a frame. Raises InvalidFrame."""
        return finish(self.answering(frame))

    def answering(self, frame: bytes) -> Generator[None, None, bytes]:
        """The same in slices: yields after each range. Raises InvalidFrame."""
        reader = FrameReader(frame)
        turn = _Turn(self._records, self._limit, initiates=False)
        if _version(reader) == VERSION:
            yield from turn.work(reader)
        return bytes(turn.out)


def _checked(limit: int) -> int:
    if limit and limit < LEAST_LIMIT:
        raise ValueError("The limit of a frame is at least 4096 bytes.")
    return limit


def _version(reader: FrameReader) -> int:
    version = reader.take(1)[0]
    if version not in VERSIONS:
        raise InvalidFrame("The frame begins with no version.")
    return version


@dataclass(slots=True)
class _Turn:
    """The making of one frame out of another."""

    records: Records
    limit: int
    initiates: bool
    out: bytearray = field(default_factory=lambda: bytearray(_START))
    have: list[bytes] = field(default_factory=list)
    need: list[bytes] = field(default_factory=list)
    writer: FrameWriter = field(default_factory=FrameWriter)
    _told: int = 0
    """The place up to which the frame that we make tells about our records."""

    def work(self, reader: FrameReader) -> Generator[None, None, None]:
        """Read all ranges and write what is to be said of them."""
        records = self.records
        below, lower, skipped = _FIRST, 0, False
        while reader.more:
            bound, mode = reader.bound(), reader.mode()
            if bound < below and below[:TIME_BYTES] != INFINITY:
                raise InvalidFrame("The ranges overlap.")
            upper = records.lower_bound(bound, lower)
            piece = b""
            if mode is Mode.FINGERPRINT:
                theirs = reader.take(FINGERPRINT_BYTES)
                if theirs != records.fingerprint(lower, upper):
                    piece = self.writer.skip(below) if skipped else b""
                    piece += _split(self.writer, records, lower, upper, bound)
            elif mode is Mode.IDS:
                ids = reader.ids()
                if self.initiates:
                    self._compare(ids, lower, upper)
                else:
                    upper = self._tell_ids(lower, upper, bound, below if skipped else None)
            if self._is_full(len(piece)):
                rest = records.fingerprint(self._told, len(records))
                self.out += self.writer.fingerprint(INFINITY, rest)
                return
            told = bool(piece) or (mode is Mode.IDS and not self.initiates)
            if told:
                self.out += piece
                self._told = upper
            skipped = not told
            lower, below = upper, bound
            yield

    def _compare(self, ids: bytes, lower: int, upper: int) -> None:
        theirs = {ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)}
        ours = self.records.ids(lower, upper)
        self.have += [one for one in ours if one not in theirs]
        self.need += sorted(theirs.difference(ours))

    def _tell_ids(self, lower: int, upper: int, bound: bytes, skipped: bytes | None) -> int:
        """Write the ids of a range as far as they fit, after a range to skip if there is one;
        returns the place up to which they are."""
        end = upper
        if self.limit:
            room = self.limit - _MARGIN - len(self.out)
            end = min(upper, lower + max(0, room // ID_BYTES + 1))
        if skipped is not None:
            self.out += self.writer.skip(skipped)
        reached = bound if end == upper else self.records.key(end)
        self.out += self.writer.ids(reached, b"".join(self.records.ids(lower, end)))
        self._told = end
        return end

    def _is_full(self, more: int) -> bool:
        return self.limit > 0 and len(self.out) + more > self.limit - _MARGIN


def _split(writer: FrameWriter, records: Records, lower: int, upper: int, bound: bytes) -> bytes:
    """Tell about the records of a range that ends at `bound`: their ids, or 16 fingerprints."""
    count = upper - lower
    if count < 2 * _BUCKETS:
        return writer.ids(bound, b"".join(records.ids(lower, upper)))
    size, larger = divmod(count, _BUCKETS)
    pieces: list[bytes] = []
    start = lower
    for bucket in range(_BUCKETS):
        end = start + size + (bucket < larger)
        reached = bound if end == upper else _between(records.key(end - 1), records.key(end))
        pieces.append(writer.fingerprint(reached, records.fingerprint(start, end)))
        start = end
    return b"".join(pieces)


def _between(before: bytes, after: bytes) -> bytes:
    """The shortest bound that is above `before` and not above `after`."""
    if before[:TIME_BYTES] != after[:TIME_BYTES]:
        return after[:TIME_BYTES]
    shared = TIME_BYTES
    while before[shared] == after[shared]:
        shared += 1
    return after[: shared + 1]

"""The frames of stored events, many at a time (NIP-01). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from volok.relay.frames import text_head
from volok.relay.outputs import Output, SendEntries

_PART_BYTES = 64 * 1024


def in_parts(outputs: Iterable[Output]) -> Iterator[Output]:
    """The same, many events in parts of some 64 KiB: so a slow reader has few of them waiting, and
    others have their turn in between."""
    for output in outputs:
        if isinstance(output, SendEntries):
            yield from _parts_of(output)
        else:
            yield output


def _parts_of(output: SendEntries) -> Iterator[SendEntries]:
    entries, start, size = output.entries, 0, 0
    for place, entry in enumerate(entries, 1):
        size += len(entry.raw)
        if size >= _PART_BYTES:
            yield SendEntries(output.head, entries[start:place])
            start, size = place, 0
    if start < len(entries):
        yield SendEntries(output.head, entries[start:])


def frames_of(output: SendEntries) -> bytes:
    """One frame for each event, one behind the other, as a server sends them (RFC 6455)."""
    head = output.head.encode()
    around = len(head) + 1
    starts: dict[int, bytes] = {}
    """What stands before an event of so many bytes."""
    pieces: list[bytes] = []
    for entry in output.entries:
        raw = entry.raw
        start = starts.get(len(raw))
        if start is None:
            start = starts[len(raw)] = text_head(len(raw) + around) + head
        pieces += (start, raw, b"]")
    return b"".join(pieces)

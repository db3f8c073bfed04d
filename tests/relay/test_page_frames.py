"""Frames of stored events, read back with the reader of frames."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from volok.relay.frames import text_frame
from volok.relay.outputs import SendEntries, SendText
from volok.relay.page_frames import frames_of, in_parts
from volok.store.store import Entry

HEAD = '["EVENT","é",'


def entries(lengths: list[int]) -> list[Entry]:
    return [Entry(n, json.dumps("x" * length).encode()) for n, length in enumerate(lengths)]


@given(st.lists(st.integers(0, 300) | st.integers(65_500, 65_600), max_size=12))
def test_each_event_has_a_frame_of_its_own(lengths: list[int]) -> None:
    page = entries(lengths)
    frames = [text_frame(HEAD.encode() + entry.raw + b"]") for entry in page]
    assert frames_of(SendEntries(HEAD, page)) == b"".join(frames)


@given(st.lists(st.integers(0, 3_000) | st.just(200_000), max_size=80))
def test_parts_hold_everything_in_order_and_little_each(lengths: list[int]) -> None:
    page, end = entries(lengths), SendText("end")
    *parts, last = in_parts([SendEntries(HEAD, page), end])
    assert last == end
    got: list[Entry] = []
    for part in parts:
        assert isinstance(part, SendEntries)
        assert part.entries
        assert sum(len(entry.raw) for entry in part.entries[:-1]) < 65_536
        got += part.entries
    assert got == page

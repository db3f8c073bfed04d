"""The Range header against a plain reading of RFC 9110."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.relay.ranges import Unsatisfiable, parse_range


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-", (0, 10)),
        ("bytes=0-0", (0, 1)),
        ("bytes=3-5", (3, 3)),
        ("bytes=3-500", (3, 7)),
        ("bytes=-4", (6, 4)),
        ("bytes=-400", (0, 10)),
        ("bytes=5-3", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=1-2", None),
    ],
)
def test_of_ten_bytes(header, part):
    assert parse_range(header, 10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_parts_that_are_not_there(header):
    with pytest.raises(Unsatisfiable):
        parse_range(header, 10)


@given(st.text() | st.from_regex(r"bytes=[0-9]*-[0-9]*", fullmatch=True), st.integers(0, 100))
def test_any_header_gives_a_part_or_is_refused(header, size):
    try:
        part = parse_range(header, size)
    except Unsatisfiable:
        return
    if part is not None:
        start, length = part
        assert 0 <= start < start + length <= size

"""Lists in XML from servers that may be anything."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.paths.listing import InvalidListing, read_listing

LIST = b"""<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"><D:note>out<D:x/>side</D:note>
<D:response><D:href>/a%20b</D:href><D:size>5</D:size></D:response>
<D:response><D:href>/c</D:href><D:propstat><D:size/></D:propstat></D:response></D:multistatus>"""

BOMB = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<list><response><href>&b;</href></response></list>"""


def test_records_and_what_stands_outside() -> None:
    records, outside = read_listing(LIST, "response", ("href", "size", "note"), 10)
    assert records == [{"href": "/a%20b", "size": "5"}, {"href": "/c", "size": ""}]
    assert outside == {"note": "outside"}


@pytest.mark.parametrize("data", [b"", b"<html>", b"no", BOMB, b"<a>" * 100, LIST[:-5], b"\0" * 9])
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidListing):
        read_listing(data, "response", ("href",), 10)


def test_a_list_that_is_too_long_is_refused() -> None:
    data = b"<l>" + b"<response/>" * 11 + b"</l>"
    assert read_listing(data, "response", (), 11)[0] == [{}] * 11
    with pytest.raises(InvalidListing):
        read_listing(data, "response", (), 10)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_anything_else_parses_or_is_refused(data: bytes) -> None:
    for text in (data, b"<l><response><href>" + data + b"</href></response></l>"):
        with contextlib.suppress(InvalidListing):
            read_listing(text, "response", ("href",), 10)

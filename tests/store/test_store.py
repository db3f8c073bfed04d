"""The values of the store contract: entries that are parsed when asked, who is shown what."""

from __future__ import annotations

import pytest

from volok.store.conformance_tools import ALICE, BOB, make_event
from volok.store.relevance import relevance
from volok.store.store import Entry, StoreError, Visibility


def test_an_entry_is_its_number_and_its_bytes() -> None:
    event = make_event(tags=[["t", "x"]], content='odd "\\ 🛶')
    read, known = Entry(7, event.to_json()), Entry(7, event.to_json(), event)
    assert read == known != Entry(8, event.to_json(), event)
    assert len({read, known}) == 1
    assert read.event == event
    assert read.event is read.event
    assert known.event is event
    assert read != "something else"


@pytest.mark.parametrize("raw", [b"", b"{}", b"[" * 100_000, b"\xff", b'{"id":1}'])
def test_what_is_no_event_is_told_when_it_is_asked_for(raw: bytes) -> None:
    entry = Entry(1, raw)
    assert entry.raw == raw
    with pytest.raises(StoreError):
        _ = entry.event


def test_who_is_shown_what() -> None:
    wrap, note = make_event(1059, tags=[["p", BOB]]), make_event(1)
    told = make_event(5, ALICE, tags=[["k", "1059"]])
    plain = make_event(5, ALICE, tags=[["k", "1"]])

    def shown(*keys: str) -> list[bool]:
        visible = Visibility(frozenset([1059]), frozenset(keys))
        return [visible.shows(event) for event in (wrap, note, told, plain)]

    assert shown() == [False, True, False, True]
    assert shown(BOB) == [True, True, False, True]
    assert shown(ALICE) == [False, True, True, True]


def test_relevance() -> None:
    often, once, long = (make_event(content=text) for text in ("a a b", "a b c", "a" + " b" * 50))
    assert relevance("a", often) > relevance("a", once) > relevance("a", long) > 0
    assert relevance("a z", once) == 0 == relevance("", once)
    assert (
        relevance("ри", make_event(content="Река"))
        == 0
        < relevance("ре", make_event(content="Река"))
    )

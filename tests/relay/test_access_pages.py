"""Which events of a page may be sent, told from their bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from volok.relay.access import Reader
from volok.store.conformance_tools import ALICE, BOB, make_event
from volok.store.store import Entry

_EVENTS = st.builds(
    make_event,
    st.sampled_from([0, 1, 5, 1059, 1060, 10_590, 21_059, 65_535]),
    st.sampled_from([ALICE, BOB]),
    st.sampled_from([0, 9, 999_999_999, 1_700_000_000, 9_999_999_999, 10**10, 2**53 - 1]),
    st.sampled_from([[], [["p", ALICE]], [["p", BOB]], [["k", "1059"]], [["x", ',"kind":1,']]]),
    st.just(',"kind":1,') | st.text(max_size=3),
)


@given(st.lists(_EVENTS, max_size=8), st.sets(st.sampled_from([ALICE, BOB])), st.booleans())
def test_the_bytes_tell_what_the_event_tells(events, keys, sealed):
    reader = Reader(frozenset(keys), sealed)
    page = [Entry(number, event.to_json()) for number, event in enumerate(events)]
    seen = [entry.number for entry in reader.may_see_of(page)]
    assert seen == [number for number, event in enumerate(events) if reader.may_see(event)]

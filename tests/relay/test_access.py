"""Who may read what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from volok.model.event import Event
from volok.model.filters import Filter
from volok.relay.access import SEALED_KINDS, Reader, Refusal
from volok.sync.messages import Prefix

_KEYS = st.sampled_from(["aa" * 32, "bb" * 32, "cc" * 32])
_KINDS = st.sampled_from([1, 5, 1059, 1060, 21059])
_FILTERS = st.builds(
    Filter,
    kinds=st.none() | st.frozensets(_KINDS, max_size=3),
    tags=st.dictionaries(st.just("p"), st.frozensets(_KEYS, max_size=2)),
)
_EVENTS = st.builds(
    Event,
    id=st.just("00" * 32),
    pubkey=_KEYS,
    created_at=st.just(0),
    kind=_KINDS,
    tags=st.lists(st.tuples(st.just("p"), _KEYS), max_size=2).map(tuple),
    content=st.just(""),
    sig=st.just(""),
)


@given(st.lists(_FILTERS, max_size=3), st.frozensets(_KEYS), _EVENTS)
def test_permitted_filters_find_what_was_asked_for_and_may_be_seen(filters, keys, event):
    reader = Reader(keys, sealed=True)
    permitted = reader.permitted(filters)
    asked = any(wanted.matches(event) for wanted in filters)
    if isinstance(permitted, Refusal):
        assert permitted.prefix is (Prefix.RESTRICTED if keys else Prefix.AUTH_REQUIRED)
        assert any(wanted.kinds and wanted.kinds & SEALED_KINDS for wanted in filters)
    else:
        found = any(wanted.matches(event) for wanted in permitted)
        assert (found and reader.may_see(event)) == (asked and reader.may_see(event))


@given(st.frozensets(_KEYS), _EVENTS)
def test_sealed_events_are_seen_by_their_addressees(keys, event):
    seen = Reader(keys, sealed=True).may_see(event)
    assert seen == (event.kind not in SEALED_KINDS or bool(keys & set(event.values("p"))))
    if event.kind in SEALED_KINDS:
        assert not Reader(keys, sealed=False).may_see(event)

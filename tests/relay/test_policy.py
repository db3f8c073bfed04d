"""What a relay takes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.event import Event
from volok.relay.errors import RelayError
from volok.relay.policy import means_us, refusal
from volok.relay.settings import RelaySettings
from volok.sync.messages import Prefix

NOW = 1_800_000_000
ANNA, BORIS = "a" * 64, "b" * 64
URL = "wss://relay.example"
SETTINGS = RelaySettings(public_urls=(URL,), created_at_past=1000, max_event_tags=3)
EVENT = Event("f" * 64, ANNA, NOW, 1, (), "", "0" * 128)


def prefix_of(event: Event, *keys: str, settings=SETTINGS, difficulty=0) -> Prefix | None:
    found = refusal(event, set(keys), settings, NOW, difficulty)
    return None if found is None else found.prefix


@pytest.mark.parametrize(
    ("changes", "keys", "prefix"),
    [
        ({}, [], None),
        ({"tags": (("-",),)}, [], Prefix.AUTH_REQUIRED),
        ({"tags": (("-",),)}, [BORIS], Prefix.RESTRICTED),
        ({"tags": (("-",),)}, [BORIS, ANNA], None),
        ({"tags": (("t", "x"),) * 4}, [], Prefix.INVALID),
        ({"content": "x" * SETTINGS.max_content_length}, [], None),
        ({"content": "x" * (SETTINGS.max_content_length + 1)}, [], Prefix.INVALID),
        ({"created_at": NOW + SETTINGS.created_at_future}, [], None),
        ({"created_at": NOW + SETTINGS.created_at_future + 1}, [], Prefix.INVALID),
        ({"created_at": NOW - 1000}, [], None),
        ({"created_at": NOW - 1001}, [], Prefix.INVALID),
        ({"tags": (("expiration", str(NOW)),)}, [], Prefix.INVALID),
        ({"tags": (("expiration", str(NOW + 1)),)}, [], None),
        ({"kind": 22_242}, [ANNA], Prefix.INVALID),
        ({"kind": 62}, [], Prefix.INVALID),
        ({"kind": 62, "tags": (("relay", URL),)}, [], None),
    ],
)
def test_rules(changes, keys, prefix):
    assert prefix_of(replace(EVENT, **changes), *keys) is prefix


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_the_work_asked_for_is_the_greater_of_setting_and_moment(setting, moment, done):
    event = replace(EVENT, id=f"{(1 << (256 - done)) - 1:064x}", tags=(("nonce", "0", str(done)),))
    settings = replace(SETTINGS, min_pow_difficulty=setting)
    enough = done >= max(setting, moment)
    assert prefix_of(event, settings=settings, difficulty=moment) is (
        None if enough else Prefix.POW
    )


def test_who_wants_to_vanish_needs_no_permission():
    strict = replace(SETTINGS, require_auth=True)
    assert prefix_of(EVENT, settings=strict) is Prefix.AUTH_REQUIRED
    request = replace(EVENT, kind=62, tags=(("relay", "ALL_RELAYS"),))
    assert prefix_of(request, settings=strict) is None
    assert prefix_of(request, settings=strict, difficulty=1) is None
    assert prefix_of(request, settings=replace(strict, min_pow_difficulty=1)) is Prefix.POW


@pytest.mark.parametrize(
    ("values", "ours"),
    [
        ([URL], True),
        (["wss://other.example", "wss://RELAY.example:443/path"], True),
        (["ALL_RELAYS"], True),
        (["all_relays"], False),
        (["wss://other.example"], False),
        (["relay.example", "", "wss://", "wss://[", "x" * 9999], False),
        ([], False),
    ],
)
def test_a_request_to_vanish_names_us_by_host(values, ours):
    event = replace(EVENT, kind=62, tags=tuple(("relay", value) for value in values))
    assert means_us(event, [URL]) is ours
    assert means_us(event, []) is ("ALL_RELAYS" in values)


@given(st.text(), st.sampled_from([6, 16]))
def test_any_content_of_a_repost_is_judged(content, kind):
    for text in (content, f'{{"tags":[["-"]],"x":{content}}}', f'["-",{content}'):
        assert prefix_of(replace(EVENT, kind=kind, content=text)) in (None, Prefix.INVALID)
    held = '{"tags":[["t","x"],["-"]]}'
    assert prefix_of(replace(EVENT, kind=kind, content=held)) is Prefix.INVALID


@pytest.mark.parametrize("changes", [{"min_pow_difficulty": -1}, {"pubkey": "npub1"}])
def test_settings_that_cannot_be_advertised_are_refused(changes):
    with pytest.raises(RelayError):
        RelaySettings(**changes)

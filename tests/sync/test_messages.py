"""Messages of the nostr protocol (NIP-01, NIP-42, NIP-45)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.event import Event
from volok.model.filters import Filter
from volok.sync.messages import (
    FINISH,
    MORE,
    Auth,
    AuthChallenge,
    ClientMessage,
    Close,
    Closed,
    Count,
    Counted,
    Eose,
    EventFor,
    EventMessage,
    InvalidMessage,
    Notice,
    Ok,
    Prefix,
    RelayMessage,
    Req,
    event_text,
    parse_client_message,
    parse_relay_message,
    prefix_of,
)
from volok.sync.neg_messages import NegClose, NegError, NegMessage, NegOpen

A, B = "a" * 64, "b" * 64
EVENT = Event(A, B, 100, 1, (("t", 'quote"'),), "Привет\n", "0" * 128)
FIELDS = json.loads(EVENT.to_json())
KINDS = Filter(kinds=frozenset({1}))

CLIENT = [
    (EventMessage(EVENT), ["EVENT", FIELDS]),
    (Req("s", (KINDS, Filter())), ["REQ", "s", {"kinds": [1]}, {}]),
    (Close("s"), ["CLOSE", "s"]),
    (Auth(EVENT), ["AUTH", FIELDS]),
    (Count("s", (KINDS,)), ["COUNT", "s", {"kinds": [1]}]),
    (NegOpen("s", KINDS, b"\x61\x00"), ["NEG-OPEN", "s", {"kinds": [1]}, "6100"]),
    (NegMessage("s", b"\x61"), ["NEG-MSG", "s", "61"]),
    (NegClose("s"), ["NEG-CLOSE", "s"]),
]
RELAY = [
    (EventFor('s"1', EVENT), ["EVENT", 's"1', FIELDS]),
    (Ok(A, True), ["OK", A, True, ""]),
    (Ok(A, False, "blocked: no"), ["OK", A, False, "blocked: no"]),
    (Eose("s"), ["EOSE", "s"]),
    (Eose("s", (FINISH,)), ["EOSE", "s", ["finish"]]),
    (Closed("s", "error: stop"), ["CLOSED", "s", "error: stop"]),
    (Notice("Привет"), ["NOTICE", "Привет"]),
    (AuthChallenge("c"), ["AUTH", "c"]),
    (Counted("s", 3), ["COUNT", "s", {"count": 3}]),
    (NegMessage("s", b"\x61"), ["NEG-MSG", "s", "61"]),
    (NegError("s", "closed: too slow"), ["NEG-ERR", "s", "closed: too slow"]),
    (NegError("s", "blocked: no", 5), ["NEG-ERR", "s", "blocked: no", 5]),
]

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(A),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    ["EVENT", "REQ", "CLOSE", "AUTH", "COUNT", "OK", "EOSE", "CLOSED", "NOTICE"]
) | st.sampled_from(["NEG-OPEN", "NEG-MSG", "NEG-CLOSE", "NEG-ERR"])
nearly = st.builds(lambda name, rest: [name, *rest], names, st.lists(junk, max_size=4))


@pytest.mark.parametrize(("message", "wire"), CLIENT)
def test_client_messages(message: ClientMessage, wire: list[object]) -> None:
    assert json.loads(message.to_text()) == wire
    assert parse_client_message(wire) == message


@pytest.mark.parametrize(("message", "wire"), RELAY)
def test_relay_messages(message: RelayMessage, wire: list[object]) -> None:
    assert json.loads(message.to_text()) == wire
    assert parse_relay_message(wire) == message
    assert parse_relay_message([*wire, "of a later NIP"]) == message


@given(junk | nearly)
def test_what_is_no_client_message_raises_invalid_message(obj: object) -> None:
    try:
        message = parse_client_message(obj)
    except InvalidMessage:
        return
    assert parse_client_message(json.loads(message.to_text())) == message


@given(junk | nearly)
def test_what_is_no_relay_message_raises_invalid_message(obj: object) -> None:
    try:
        message = parse_relay_message(obj)
    except InvalidMessage:
        return
    assert parse_relay_message(json.loads(message.to_text())) == message


@pytest.mark.parametrize(
    "obj",
    [
        [],
        {},
        None,
        [["EVENT"]],
        ["PING"],
        ["event", FIELDS],
        ["EVENT"],
        ["REQ"],
        ["REQ", "s"],
        ["REQ", "", {}],
        ["REQ", "s" * 65, {}],
        ["REQ", 1, {}],
        ["REQ", "\ud800", {}],
        ["CLOSE"],
        ["AUTH", "challenge"],
        ["OK", A, True, ""],
    ],
)
def test_relays_refuse(obj: object) -> None:
    with pytest.raises(InvalidMessage):
        parse_client_message(obj)


@pytest.mark.parametrize(
    "obj",
    [
        ["EVENT", FIELDS],
        ["EVENT", "s"],
        ["EVENT", "s", {**FIELDS, "kind": -1}],
        ["OK", "short", True, ""],
        ["OK", A, 1, ""],
        ["OK", A],
        ["OK", A, False, 5],
        ["EOSE"],
        ["CLOSED", ""],
        ["NOTICE"],
        ["NOTICE", "\ud800"],
        ["AUTH", FIELDS],
        ["COUNT", "s", {"count": True}],
        ["COUNT", "s", 3],
        ["REQ", "s", {}],
    ],
)
def test_clients_refuse(obj: object) -> None:
    with pytest.raises(InvalidMessage):
        parse_relay_message(obj)


def test_older_relays_leave_messages_out() -> None:
    assert parse_relay_message(["OK", A, True]) == Ok(A, True)
    assert parse_relay_message(["CLOSED", "s"]) == Closed("s")


def test_a_refusal_says_what_it_was_about() -> None:
    with pytest.raises(InvalidMessage) as event:
        parse_client_message(["EVENT", {"id": A, "kind": 1}])
    assert (event.value.event_id, event.value.subscription) == (A, None)
    with pytest.raises(InvalidMessage) as nameless:
        parse_client_message(["EVENT", {"id": ["x"]}])
    assert nameless.value.event_id is None
    for wrong in (["REQ", "s", {"colour": "x"}], ["COUNT", "s", 5], ["REQ", "s"]):
        with pytest.raises(InvalidMessage) as request:
            parse_client_message(wrong)
        assert (request.value.event_id, request.value.subscription) == (None, "s")
        assert request.value.unsupported is (wrong[2:] == [{"colour": "x"}])
    for name, known in (("", ""), ("s" * 65, "s" * 65), ("s" * 257, None), (5, None)):
        with pytest.raises(InvalidMessage) as request:
            parse_client_message(["REQ", name, {}])
        assert request.value.subscription == known


def test_hints_that_are_not_known_are_as_good_as_absent() -> None:
    for hints in ([], ["of a later NIP", 5], "finish", {}):
        assert parse_relay_message(["EOSE", "s", hints]) == Eose("s")
    assert parse_relay_message(["EOSE", "s", ["x", "more"]]) == Eose("s", (MORE,))


def test_stored_json_goes_out_as_it_is() -> None:
    raw = EVENT.to_json()
    assert event_text('s"1', raw) == EventFor('s"1', EVENT).to_text()
    assert raw.decode() in event_text("s", raw)


def test_prefixes() -> None:
    assert prefix_of(f"{Prefix.AUTH_REQUIRED}: who are you?") == "auth-required"
    assert prefix_of("rate-limited: slow down") == Prefix.RATE_LIMITED
    for unknown in ("", "blocked", "hello: world", " blocked: x"):
        assert prefix_of(unknown) == ""


def test_a_refused_reconciliation_is_told_from_a_refused_request() -> None:
    for wrong in (
        ["NEG-OPEN", "s", {"colour": "x"}, "61"],
        ["NEG-OPEN", "s", {}, "6"],
        ["NEG-OPEN", "s"],
        ["NEG-MSG", "s", "6 1"],
        ["NEG-MSG", "s", 61],
        ["NEG-CLOSE", ""],
    ):
        with pytest.raises(InvalidMessage) as refused:
            parse_client_message(wrong)
        assert refused.value.reconciling
        assert refused.value.subscription == wrong[1]
    with pytest.raises(InvalidMessage) as request:
        parse_client_message(["REQ", "s", 1])
    assert not request.value.reconciling
    assert parse_relay_message(["NEG-ERR", "s"]) == NegError("s", "")
    assert parse_relay_message(["NEG-ERR", "s", "blocked: no", "500"]) == NegError(
        "s", "blocked: no"
    )

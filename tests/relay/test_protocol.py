"""The protocol core as a dialogue: what comes in, what goes out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.event import parse_event
from volok.model.filters import Filter
from volok.relay.outputs import (
    CheckAuth,
    Query,
    Rejection,
    SendEntries,
    SendEntry,
    SendText,
    Subscribe,
    TakeIn,
    Tally,
    Unsubscribe,
)
from volok.relay.protocol import Connection
from volok.relay.settings import RelaySettings
from volok.store.store import Entry, Outcome

NOW = 1_800_000_000
ALL = (Filter(),)
_EVENT = parse_event(
    {
        "id": "00" * 32,
        "pubkey": "11" * 32,
        "created_at": NOW,
        "kind": 1,
        "tags": [],
        "content": "",
        "sig": "22" * 64,
    }
)
_RAW = _EVENT.to_json()


@pytest.fixture
def connection() -> Connection:
    return Connection(RelaySettings(), "challenge")


@pytest.fixture
def entries(people) -> list[Entry]:
    """Entries 1 to 9 of a log."""
    events = [people[0].event(content=str(number)) for number in range(1, 10)]
    return [Entry(number, e.to_json(), e) for number, e in enumerate(events, 1)]


def receive(connection: Connection, *message: object, head: int = 0) -> list[object]:
    return list(connection.frame_received(list(message), 100, NOW, head))


def subscribe(connection: Connection, head: int) -> Query:
    outputs = receive(connection, "REQ", "s", {}, head=head)
    query = outputs[-1]
    assert isinstance(query, Query)
    return query


def numbers(outputs: list[object]) -> list[int]:
    found: list[int] = []
    for output in outputs:
        if isinstance(output, SendEntry):
            found.append(output.entry.number)
        elif isinstance(output, SendEntries):
            found += [entry.number for entry in output.entries]
    return found


def test_it_begins_with_a_challenge(connection):
    assert connection.opened() == [SendText('["AUTH","challenge"]')]


def test_an_event_is_taken_in_and_answered_when_it_is_settled(connection, people):
    event = people[0].event()
    assert receive(connection, "EVENT", json.loads(event.to_json())) == [TakeIn(event)]
    assert connection.event_settled(event, Outcome.ADDED) == [
        SendText(f'["OK","{event.id}",true,""]')
    ]


@pytest.mark.parametrize("result", [*Outcome, *Rejection])
def test_every_result_has_an_answer(connection, people, result):
    (output,) = connection.event_settled(people[0].event(), result)
    name, _, accepted, text = json.loads(output.text)
    assert name == "OK"
    good = (Outcome.ADDED, Outcome.DUPLICATE)
    assert accepted == (result in good)
    assert accepted or ": " in text


def test_a_request_is_live_before_it_is_answered(connection):
    assert receive(connection, "REQ", "s", {}, head=7) == [
        Subscribe("s", ALL),
        Query("s", 1, ALL, 501),
    ]


def test_what_the_query_gave_does_not_come_again(connection, entries):
    query = subscribe(connection, head=3)
    # Entry 4 came in before the query ran, entry 5 after it.
    outputs = connection.query_answered(query, list(reversed(entries[:4])))
    assert numbers(outputs) == [4, 3, 2, 1]
    assert outputs[-1] == SendText('["EOSE","s",["finish"]]')
    assert numbers(connection.entry_appeared(["s"], entries[2])) == []
    assert numbers(connection.entry_appeared(["s"], entries[3])) == []
    assert numbers(connection.entry_appeared(["s"], entries[4])) == [5]


def test_what_was_live_before_the_answer_is_not_in_it_again(connection, entries):
    query = subscribe(connection, head=3)
    assert numbers(connection.entry_appeared(["s"], entries[3])) == [4]
    outputs = connection.query_answered(query, list(reversed(entries[:5])))
    assert numbers(outputs) == [5, 3, 2, 1]
    assert numbers(connection.entry_appeared(["s"], entries[4])) == []
    assert numbers(connection.entry_appeared(["s"], entries[5])) == [6]


@given(
    head=st.integers(0, 9),
    shown=st.integers(0, 9),
    answered=st.integers(0, 9),
)
def test_every_entry_comes_once_however_query_and_log_overlap(head, shown, answered):
    # The log shows entries up to `shown` before the answer, which covers those up to `answered`.
    connection = Connection(RelaySettings(), "challenge")
    answered, shown = max(head, answered), min(shown, max(head, answered))
    log = [Entry(number, _RAW, _EVENT) for number in range(1, 10)]
    query = subscribe(connection, head)
    got = []
    for entry in log[:shown]:
        got += numbers(connection.entry_appeared(["s"], entry))
    got += numbers(connection.query_answered(query, log[:answered]))
    for entry in log[shown:]:
        got += numbers(connection.entry_appeared(["s"], entry))
    assert sorted(got) == list(range(1, 10))


def test_an_answer_to_a_closed_or_replaced_subscription_is_dropped(connection, entries):
    first = subscribe(connection, head=0)
    second = subscribe(connection, head=0)
    assert connection.query_answered(first, entries) == []
    assert receive(connection, "CLOSE", "s") == [Unsubscribe("s")]
    assert connection.query_answered(second, entries) == []
    assert connection.entry_appeared(["s"], entries[0]) == []
    assert receive(connection, "CLOSE", "s") == []


def hints(outputs: list[object]) -> object:
    message = json.loads(outputs[-1].text)
    return message[2] if len(message) > 2 else None


@given(
    limit=st.none() | st.integers(1, 9),
    cap=st.integers(1, 9),
    stored=st.integers(0, 12),
    pages=st.integers(1, 4),
)
def test_what_a_single_query_left_out_is_known(limit, cap, stored, pages):
    connection = Connection(RelaySettings(max_limit=cap), "challenge")
    asked = {} if limit is None else {"limit": limit}
    query = receive(connection, "REQ", "s", asked, head=99)[-1]
    assert isinstance(query, Query)
    log = [Entry(number, _RAW, _EVENT) for number in range(stored)]
    found = log[: min(query.limit, query.filters[0].limit or query.limit)]
    got: list[int] = []
    for page in range(pages):
        part = found[page * len(found) // pages : (page + 1) * len(found) // pages]
        outputs = connection.query_answered(query, part, is_last=page == pages - 1)
        got += numbers(outputs)
    most = cap if limit is None else min(limit, cap)
    assert got == list(range(min(stored, most)))
    assert hints(outputs) == (["finish"] if stored <= most else ["more"])


@given(
    limits=st.lists(st.none() | st.integers(0, 5), min_size=2, max_size=3),
    found=st.integers(0, 6),
)
def test_of_several_filters_nothing_is_claimed_that_is_not_certain(limits, found):
    connection = Connection(RelaySettings(max_limit=5), "challenge")
    asked = [
        {"kinds": [kind]} | ({} if limit is None else {"limit": limit})
        for kind, limit in enumerate(limits)
    ]
    outputs = receive(connection, "REQ", "s", *asked, head=99)
    query = outputs[-1]
    if not isinstance(query, Query):
        assert not any(limits)
        assert hints(outputs) is None
        return
    entries = [Entry(number, _RAW, _EVENT) for number in range(min(found, query.limit))]
    outputs = connection.query_answered(query, entries)
    least = min(5 if limit is None else limit for limit in limits)
    if hints(outputs) == ["finish"]:
        assert found < least  # so no filter can have reached its limit
    if hints(outputs) == ["more"]:
        assert len(numbers(outputs)) < found


def test_a_limit_of_zero_asks_the_store_for_nothing(connection, entries):
    outputs = receive(connection, "REQ", "s", {"limit": 0}, {"kinds": [1], "limit": 0}, head=3)
    assert [type(output) for output in outputs] == [Subscribe, SendText]
    assert outputs[-1] == SendText('["EOSE","s"]')
    assert numbers(connection.entry_appeared(["s"], entries[2])) == []
    assert numbers(connection.entry_appeared(["s"], entries[3])) == [4]


def test_the_same_filter_twice_is_asked_once(connection):
    query = receive(connection, "REQ", "s", {"kinds": [1]}, {"kinds": [1]})[-1]
    assert query.filters == (Filter(kinds=frozenset({1})),)


def test_a_filter_that_was_split_keeps_its_limit(connection, people, entries):
    connection.auth_checked(people[0].event(22242), None)
    query = receive(connection, "REQ", "s", {"kinds": [1, 1059], "limit": 2})[-1]
    assert len(query.filters) == 2
    outputs = connection.query_answered(query, entries[:3])
    assert numbers(outputs) == [1, 2]
    assert hints(outputs) == ["more"]


@pytest.mark.parametrize(
    ("message", "size"),
    [(["REQ", "s", {"kinds": "x"}], 9), (["REQ", "s", {"what": 1}], 9), (["REQ", "s", {}], 10**6)],
)
def test_a_request_that_is_refused_ends_what_it_was_to_replace(connection, message, size):
    subscribe(connection, head=0)
    ending, text = connection.frame_received(message, size, NOW, 0)
    assert ending == Unsubscribe("s")
    assert json.loads(text.text)[:2] == ["CLOSED", "s"]


def test_the_work_of_the_moment_is_asked_for(connection, people):
    message = ["EVENT", json.loads(people[0].event().to_json())]
    (output,) = connection.frame_received(message, 100, NOW, 0, difficulty=200)
    assert json.loads(output.text)[3].startswith("pow: ")


def test_a_store_that_fails_ends_the_subscription(connection):
    query = subscribe(connection, head=0)
    unsubscribe, text = connection.query_answered(query, None)
    assert unsubscribe == Unsubscribe("s")
    assert json.loads(text.text)[:2] == ["CLOSED", "s"]
    assert "error:" in connection.tallied("n", None)[0].text


def test_keys_add_up(connection, people):
    asked = {"kinds": [1059], "#p": [person.pubkey for person in people[:2]]}
    for person, prefix in zip(people[:2], ("auth-required:", "restricted:"), strict=True):
        assert prefix in receive(connection, "REQ", "s", asked)[-1].text
        event = person.event(22242)
        assert receive(connection, "AUTH", json.loads(event.to_json())) == [
            CheckAuth(event, "challenge")
        ]
        assert json.loads(connection.auth_checked(event, None)[0].text)[2] is True
    assert isinstance(receive(connection, "REQ", "s", asked)[-1], Query)
    assert isinstance(receive(connection, "COUNT", "s", asked)[-1], Tally)
    refused = connection.auth_checked(people[2].event(22242), "The signature does not hold.")
    assert json.loads(refused[0].text)[2] is False


def test_keys_are_bounded(people):
    connection = Connection(RelaySettings(max_keys=1), "challenge")
    answers = [connection.auth_checked(person.event(22242), None)[0] for person in people[:2]]
    assert [json.loads(answer.text)[2] for answer in answers] == [True, False]


def test_when_the_connection_is_gone_nothing_stays_subscribed(connection):
    subscribe(connection, head=0)
    assert connection.closed() == [Unsubscribe("s")]
    assert connection.closed() == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_NAMES = st.sampled_from(["EVENT", "REQ", "CLOSE", "AUTH", "COUNT", "OK", ""])
_MESSAGES = st.builds(lambda name, rest: [name, *rest], _NAMES, st.lists(_JSON))


@given(st.lists(_JSON | _MESSAGES), st.integers(0, 10**6))
def test_any_input_leads_to_outputs(values, size):
    connection = Connection(RelaySettings(), "challenge")
    for value in values:
        outputs = connection.frame_received(value, size, NOW, 0)
        named = isinstance(value, list) and value and value[0] == "CLOSE"
        assert outputs or named
        for output in outputs:
            if isinstance(output, SendText):
                assert json.loads(output.text)[0] in ("NOTICE", "OK", "CLOSED")

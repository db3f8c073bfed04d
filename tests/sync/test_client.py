"""Dialogues with a relay: what it says, and what the protocol core answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sync.world import CRYPTO, envelope, inbox_key

from volok.model.event import Event
from volok.store.deliveries import Mark, MarkState, RelayFacts
from volok.sync.client import Client
from volok.sync.dialogue import (
    CatchUpWanted,
    CaughtUp,
    Connected,
    Described,
    Disconnect,
    Inbox,
    InboxesSet,
    InboxKey,
    Ingest,
    Ingested,
    Input,
    Lost,
    Moment,
    Offered,
    Outbound,
    Output,
    Received,
    Record,
    Send,
    SetFacts,
    TimeCame,
)
from volok.sync.settings import SyncSettings

URL = "wss://relay.example"
ANN, BOB = inbox_key(1), inbox_key(2)
NOW = 1_800_000_000
DAY = 86_400


class Dialogue:
    """A client, and a clock that moves only when told to."""

    def __init__(
        self, *inboxes: InboxKey, cursor: int = 0, careful: bool = False, **facts: Any
    ) -> None:
        known = RelayFacts(URL, **facts)
        self.client = Client(known, CRYPTO, SyncSettings(window=3), careful)
        self.timer = 0.0
        self.outputs: list[Output] = []
        boxes = tuple(Inbox(key, cursor) for key in inboxes)
        self.opening = [*self.give(InboxesSet(boxes)), *self.give(Connected())]

    def give(self, given: Input) -> list[Output]:
        self.outputs = self.client.handle(given, Moment(self.timer, NOW + int(self.timer)))
        return self.outputs

    def say(self, *message: Any) -> list[Output]:
        """The relay says this."""
        return self.give(Received(json.dumps(message)))

    def event(self, subscription: str, event: Event) -> list[Output]:
        return self.say("EVENT", subscription, json.loads(event.to_json()))

    def ok(self, item: str, accepted: bool = True, message: str = "") -> list[Output]:
        return self.say("OK", item, accepted, message)

    def offer(self, *contents: int) -> list[Output]:
        return self.give(Offered(tuple(outbound(n, size) for n, size in enumerate(contents))))

    def wait(self) -> list[Output]:
        """Time passes until the client wants to be woken."""
        assert self.client.wakes_at is not None
        self.timer = self.client.wakes_at
        return self.give(TimeCame())


def outbound(number: int, content: int = 100) -> Outbound:
    return Outbound(number, item(number), content, json.dumps(["EVENT", number]))


def item(number: int) -> str:
    return f"{number:064x}"


def sent(outputs: list[Output]) -> list[Any]:
    return [json.loads(one.text) for one in outputs if isinstance(one, Send)]


def names(outputs: list[Output]) -> list[str]:
    return [message[0] for message in sent(outputs)]


def marks(outputs: list[Output]) -> list[tuple[str, MarkState, str]]:
    records = [one for one in outputs if isinstance(one, Record)]
    return [(mark.item, mark.state, mark.reason) for one in records for mark in one.marks]


# Reading


def test_the_first_request_begins_three_days_before_the_cursor() -> None:
    talk = Dialogue(ANN, cursor=NOW - DAY)
    assert sent(talk.opening) == [
        [
            "REQ",
            "i1",
            {"kinds": [1059], "#p": [ANN.public], "since": NOW - 4 * DAY, "limit": 500},
        ]
    ]


def test_a_cursor_of_the_future_hides_nothing() -> None:
    talk = Dialogue(ANN, cursor=NOW + 100 * DAY)
    assert sent(talk.opening)[0][2]["since"] == NOW - 3 * DAY


def test_an_empty_relay_is_caught_up_with_at_once() -> None:
    talk = Dialogue(ANN)
    outputs = talk.say("EOSE", "i1")
    assert outputs == [
        SetFacts(RelayFacts(URL, guards_inboxes=False)),
        CaughtUp((ANN.public,), NOW),
    ]
    assert talk.client.in_step


def test_stored_events_then_a_page_then_live() -> None:
    talk = Dialogue(ANN)
    stored = [envelope(ANN, str(n), NOW - n) for n in range(4)]
    assert talk.event("i1", stored[0]) == [
        SetFacts(RelayFacts(URL, guards_inboxes=False)),
        Ingest((stored[0],)),
    ]
    for event in stored[1:]:
        assert talk.event("i1", event) == [Ingest((event,))]
    talk.timer = 5.0
    (page,) = sent(talk.say("EOSE", "i1"))
    assert page[:2] == ["REQ", "i1p"]
    assert page[2]["until"] == NOW - 3 + 1
    assert not talk.client.in_step
    live = envelope(ANN, "meanwhile", NOW)
    assert talk.event("i1", live) == [Ingest((live,))]
    assert talk.event("i1p", stored[3]) == [Ingest((stored[3],))]
    assert talk.say("EOSE", "i1p") == [
        Send('["CLOSE","i1p"]'),
        # The time at which reading began, not that at which it ended.
        CaughtUp((ANN.public,), NOW),
    ]
    assert talk.client.in_step


def test_the_cursor_moves_on_while_live() -> None:
    talk = Dialogue(ANN)
    talk.say("EOSE", "i1")
    assert talk.wait() == [CaughtUp((ANN.public,), NOW + 600 - 60)]


def test_what_was_not_asked_for_is_dropped() -> None:
    talk = Dialogue(ANN)
    assert talk.event("i1", envelope(BOB, "for another", NOW)) == []
    assert talk.event("i1", envelope(ANN, "another kind", NOW, kind=1)) == []
    assert talk.event("i9", envelope(ANN, "another subscription", NOW)) == []
    assert talk.event("i1", envelope(ANN, "x" * 200_000, NOW)) == []
    assert talk.event("i1", envelope(ANN, "right", NOW)) != []


def test_many_inboxes_share_subscriptions() -> None:
    keys = [InboxKey(f"{n:064x}", bytes(32)) for n in range(25)]
    talk = Dialogue(*keys)
    assert [len(message) - 2 for message in sent(talk.opening)] == [10, 10, 5]


def test_more_inboxes_than_subscriptions_allow() -> None:
    keys = [InboxKey(f"{n:064x}", bytes(32)) for n in range(400)]
    talk = Dialogue(*keys)
    requests = sent(talk.opening)
    assert len(requests) <= 15
    assert sum(len(message) - 2 for message in requests) == 400


def test_inboxes_come_and_go_on_a_live_connection() -> None:
    talk = Dialogue(ANN)
    talk.say("EOSE", "i1")
    both = (Inbox(ANN, 0), Inbox(BOB, 0))
    (request,) = sent(talk.give(InboxesSet(both)))
    assert request[:2] == ["REQ", "i2"]
    assert request[2]["#p"] == [BOB.public]
    assert sent(talk.give(InboxesSet(both[1:]))) == [["CLOSE", "i1"]]


def test_a_person_asks_to_look_again() -> None:
    talk = Dialogue(ANN)
    talk.say("EOSE", "i1")
    (request,) = sent(talk.give(CatchUpWanted()))
    assert request[:2] == ["REQ", "i1"]
    assert not talk.client.in_step


def test_a_relay_that_does_not_answer_is_left() -> None:
    talk = Dialogue(ANN)
    assert talk.wait() == [Disconnect()]
    assert talk.client.problem == "The relay does not answer."


def test_a_subscription_that_is_closed_is_asked_for_again_later() -> None:
    talk = Dialogue(ANN)
    assert talk.say("CLOSED", "i1", "error: too many subscriptions") == []
    assert talk.client.problem == "The relay does not let us read our inbox."
    assert names(talk.wait()) == ["REQ"]
    talk.say("EOSE", "i1")
    assert talk.client.problem == ""


# Keys


def test_a_relay_that_guards_inboxes() -> None:
    talk = Dialogue(ANN, BOB)
    talk.say("AUTH", "challenge")
    outputs = talk.say("CLOSED", "i1", "auth-required: show your key")
    assert outputs[0] == SetFacts(RelayFacts(URL, guards_inboxes=True))
    shown = [message[1] for message in sent(outputs)]
    assert [event["pubkey"] for event in shown] == [ANN.public, BOB.public]
    assert shown[0]["kind"] == 22242
    assert ["challenge", "challenge"] in shown[0]["tags"]
    assert ["relay", URL] in shown[0]["tags"]
    assert talk.ok(shown[0]["id"]) == []
    assert names(talk.ok(shown[1]["id"])) == ["REQ"]
    assert talk.say("EOSE", "i1") == [CaughtUp((ANN.public, BOB.public), NOW)]


def test_the_challenge_may_come_after_the_refusal() -> None:
    talk = Dialogue(ANN)
    assert sent(talk.say("CLOSED", "i1", "auth-required: show your key")) == []
    assert names(talk.say("AUTH", "challenge")) == ["AUTH"]


def test_a_relay_that_never_asks_for_the_key_it_wants() -> None:
    talk = Dialogue(ANN)
    talk.say("CLOSED", "i1", "auth-required: show your key")
    talk.wait()
    assert talk.client.problem == "The relay wants to know a key and does not ask for it."


def test_one_key_for_each_connection() -> None:
    """The second key is refused where the first was taken, as by the LocalRelay of nostr-sdk."""
    talk = Dialogue(ANN, BOB)
    talk.say("AUTH", "challenge")
    ann, bob = sent(talk.say("CLOSED", "i1", "auth-required: show your key"))
    talk.ok(ann[1]["id"])
    assert talk.ok(bob[1]["id"], False, "auth-required: received invalid challenge") == [
        SetFacts(RelayFacts(URL, keys_per_connection=1)),
        Disconnect(0.0),
    ]


def test_one_key_replaces_the_other() -> None:
    """Both keys are taken, and still the relay refuses."""
    talk = Dialogue(ANN, BOB)
    talk.say("AUTH", "challenge")
    for message in sent(talk.say("CLOSED", "i1", "auth-required: show your key")):
        talk.ok(message[1]["id"])
    assert talk.say("CLOSED", "i1", "restricted: not your inbox") == [
        SetFacts(RelayFacts(URL, keys_per_connection=1)),
        Disconnect(0.0),
    ]


def test_an_answer_to_an_old_challenge_is_given_again() -> None:
    talk = Dialogue(ANN)
    talk.say("AUTH", "first")
    (old,) = sent(talk.say("CLOSED", "i1", "auth-required: show your key"))
    assert talk.say("AUTH", "second") == []
    (new,) = sent(talk.ok(old[1]["id"], False, "auth-required: received invalid challenge"))
    assert ["challenge", "second"] in new[1]["tags"]
    assert names(talk.ok(new[1]["id"])) == ["REQ"]


def test_a_relay_that_leaves_out_in_silence_what_is_for_unknown_keys() -> None:
    talk = Dialogue(ANN)
    talk.say("AUTH", "challenge")
    close, auth = sent(talk.say("EOSE", "i1"))
    assert close == ["CLOSE", "i1"]
    assert names(talk.ok(auth[1]["id"])) == ["REQ"]
    assert talk.say("EOSE", "i1") == [CaughtUp((ANN.public,), NOW)]


def test_a_relay_that_does_not_answer_auth() -> None:
    talk = Dialogue(ANN)
    talk.say("AUTH", "challenge")
    talk.say("CLOSED", "i1", "auth-required: show your key")
    assert names(talk.wait()) == ["REQ"]
    assert talk.timer == 5.0


def test_a_wrong_clock_is_allowed_for() -> None:
    talk = Dialogue(ANN)
    talk.say("AUTH", "challenge")
    (early,) = sent(talk.say("CLOSED", "i1", "auth-required: show your key"))
    talk.ok(early[1]["id"], False, "invalid: created_at is off")
    assert talk.client.problem == ""
    (again,) = sent(talk.give(Described(ahead=7200)))
    assert again[1]["created_at"] - early[1]["created_at"] >= 7200
    (_,) = sent(talk.ok(again[1]["id"]))
    assert talk.client.problem == ""


def test_an_answer_given_before_the_clock_was_known() -> None:
    talk = Dialogue(ANN)
    talk.say("AUTH", "challenge")
    (early,) = sent(talk.say("CLOSED", "i1", "auth-required: show your key"))
    talk.give(Described(ahead=7200))
    (again,) = sent(talk.ok(early[1]["id"], False, "invalid: created_at is off"))
    assert again[1]["created_at"] - early[1]["created_at"] >= 7200


def test_a_key_that_is_refused_although_the_clock_is_right() -> None:
    talk = Dialogue(ANN)
    talk.say("AUTH", "challenge")
    (early,) = sent(talk.say("CLOSED", "i1", "auth-required: show your key"))
    talk.ok(early[1]["id"], False, "restricted: members only")
    talk.give(Described())
    assert "clock" in talk.client.problem


# Publishing


def test_a_window_of_events() -> None:
    talk = Dialogue()
    assert sent(talk.offer(100, 100, 100, 100)) == [["EVENT", n] for n in range(3)]
    outputs = talk.ok(item(0))
    assert marks(outputs) == [(item(0), MarkState.TAKEN, "")]
    assert sent(outputs) == [["EVENT", 3]]
    assert marks(talk.ok(item(1), False, "duplicate: have it")) == [(item(1), MarkState.TAKEN, "")]
    assert marks(talk.ok(item(2), False, "blocked: no")) == [
        (item(2), MarkState.REFUSED, "blocked")
    ]
    assert talk.client.unpublished == {item(3)}


def test_what_is_known_to_be_too_large_is_not_sent() -> None:
    talk = Dialogue(max_content=4000)
    outputs = talk.offer(4001, 4000)
    assert marks(outputs) == [(item(0), MarkState.REFUSED, "too-large")]
    assert sent(outputs) == [["EVENT", 1]]


def test_what_turns_out_to_be_too_large_is_remembered() -> None:
    talk = Dialogue()
    talk.offer(5000, 100, 100, 5000)
    assert talk.ok(item(0), False, "invalid: content too long") == [
        SetFacts(RelayFacts(URL, max_content=4999)),
        Record((Mark(item(0), URL, MarkState.REFUSED, "too-large"),)),
        Record((Mark(item(3), URL, MarkState.REFUSED, "too-large"),)),
    ]


def test_a_relay_that_asks_to_slow_down_gets_single_events_in_order() -> None:
    talk = Dialogue()
    talk.offer(*[100] * 5)
    for number in range(3):
        assert talk.ok(item(number), False, "rate-limited: slow down") == []
    assert talk.client.problem == "The relay asks us to send more slowly."
    assert sent(talk.wait()) == [["EVENT", 0]]
    assert talk.timer == 1.0
    assert talk.ok(item(0), False, "rate-limited: slow down") == []
    assert sent(talk.wait()) == [["EVENT", 0]]
    assert talk.timer == 3.0
    assert sent(talk.ok(item(0))) == [["EVENT", 1], ["EVENT", 2]]
    assert talk.client.problem == ""


def test_what_fails_again_and_again_goes_to_the_end() -> None:
    talk = Dialogue(careful=True)
    talk.offer(100, 100)
    for _ in range(3):
        assert talk.ok(item(0), False, "error: database") == []
        outputs = talk.wait()
    assert sent(outputs) == [["EVENT", 1]]
    assert sent(talk.ok(item(1))) == [["EVENT", 0]]


def test_no_ok_in_time_means_a_new_connection() -> None:
    talk = Dialogue()
    talk.offer(100, 100)
    talk.timer = 10.0
    talk.ok(item(0))
    assert talk.wait() == [Disconnect()]
    assert talk.timer == 25.0
    assert talk.client.in_flight == 1


def test_a_refusal_without_an_id_is_about_the_oldest() -> None:
    talk = Dialogue()
    talk.offer(5000, 100)
    outputs = talk.ok("", False, "invalid: 280 characters should be enough for anybody")
    assert marks(outputs) == [(item(0), MarkState.REFUSED, "too-large")]
    assert outputs[-1] == Disconnect(0.0)
    assert talk.client.unpublished == {item(1)}


def test_trouble_without_an_id_waits_before_the_next_connection() -> None:
    talk = Dialogue()
    talk.offer(100)
    assert talk.ok("", False, "database is locked") == [Disconnect(None)]
    assert talk.client.unpublished == {item(0)}


def test_publishing_with_a_throw_away_key() -> None:
    talk = Dialogue()
    talk.say("AUTH", "challenge")
    talk.offer(100)
    (auth,) = sent(talk.ok(item(0), False, "auth-required: who are you?"))
    assert auth[0] == "AUTH"
    assert talk.client.problem == ""  # a relay that asks for a key is not in the way yet
    assert sent(talk.ok(auth[1]["id"])) == [["EVENT", 0]]
    assert marks(talk.ok(item(0))) == [(item(0), MarkState.TAKEN, "")]


def test_a_key_that_a_relay_refuses_for_publishing() -> None:
    talk = Dialogue()
    talk.say("AUTH", "challenge")
    talk.offer(100)
    (auth,) = sent(talk.ok(item(0), False, "auth-required: who are you?"))
    assert sent(talk.ok(auth[1]["id"], False, "restricted: members only")) == []
    talk.give(Described())
    assert talk.client.problem == "The relay takes messages only from keys that it knows."


def test_every_connection_has_its_own_throw_away_key() -> None:
    shown = set()
    for _ in range(2):
        talk = Dialogue()
        talk.say("AUTH", "challenge")
        talk.offer(100)
        shown.add(sent(talk.ok(item(0), False, "auth-required: who?"))[0][1]["pubkey"])
    assert len(shown) == 2


def test_a_relay_that_refuses_in_spite_of_the_key() -> None:
    talk = Dialogue()
    talk.say("AUTH", "challenge")
    talk.offer(100)
    (auth,) = sent(talk.ok(item(0), False, "auth-required: who are you?"))
    outputs = talk.ok(auth[1]["id"])
    while sent(outputs) == [["EVENT", 0]]:
        outputs = talk.ok(item(0), False, "restricted: members only")
    assert marks(outputs) == [(item(0), MarkState.REFUSED, "restricted")]


def test_only_what_a_relay_closed_the_connection_over_is_too_large() -> None:
    talk = Dialogue()
    talk.offer(100_000, 100)
    assert talk.give(Lost(too_big=True)) == []
    talk = Dialogue(careful=True)
    talk.offer(100_000, 100)
    assert marks(talk.give(Lost(too_big=True))) == [(item(0), MarkState.REFUSED, "too-large")]
    talk = Dialogue(careful=True)
    talk.offer(100_000)
    assert talk.give(Lost()) == []


# Nonsense


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "nonsense", "[" * 100_000, '["EVENT","i1",{}]', '["OK","",false]', '["X"]'],
)
def test_nonsense_is_counted_and_ends_the_connection(text: str) -> None:
    talk = Dialogue(ANN)
    for _ in range(199):
        assert talk.give(Received(text)) == []
    assert talk.give(Received(text)) == [Disconnect(300.0)]
    assert talk.client.problem == "The relay sends things that make no sense."


def test_forgeries_count_as_nonsense() -> None:
    talk = Dialogue(ANN)
    assert talk.give(Ingested(199)) == []
    assert talk.give(Ingested(1)) == [Disconnect(300.0)]


def test_nonsense_is_forgiven_in_time() -> None:
    talk = Dialogue(ANN)
    talk.say("EOSE", "i1")
    for _ in range(5):
        talk.give(Ingested(150))
        assert not any(isinstance(output, Disconnect) for output in talk.wait())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
MESSAGES = st.one_of(
    st.text(),
    JSON.map(json.dumps),
    st.tuples(
        st.sampled_from(["EVENT", "OK", "EOSE", "CLOSED", "NOTICE", "AUTH", "COUNT"]),
        st.sampled_from(["i1", "i1p", "i2", "", item(0), item(1)]) | JSON,
        st.booleans() | st.sampled_from(["auth-required: x", "rate-limited: x", "error: x"]) | JSON,
        st.sampled_from(["rate-limited: x", "invalid: too long", "auth-required: x", ""]) | JSON,
    ).map(json.dumps),
)


@given(st.lists(MESSAGES, max_size=30))
def test_no_text_makes_it_raise_or_lose_an_event(texts: list[str]) -> None:
    talk = Dialogue(ANN, BOB)
    outputs = talk.offer(100, 5000)
    for text in texts:
        outputs += talk.give(Received(text))
        if talk.client.wakes_at is not None and talk.client.wakes_at <= talk.timer + 2:
            outputs += talk.wait()
    marked = {name for name, _, _ in marks(outputs)}
    assert marked | talk.client.unpublished == {item(0), item(1)}
    assert not marked & talk.client.unpublished

"""What is banned and allowed, against events and uploads."""

from __future__ import annotations

from volok.relay.access import Refusal
from volok.relay.lists import Lists
from volok.sync.messages import Prefix

BLOB = "ab" * 32


def prefix(refusal: Refusal | None) -> Prefix | None:
    return refusal.prefix if refusal else None


def test_nothing_is_refused_by_empty_lists(people):
    lists = Lists()
    assert lists.empty
    assert not lists.restricts_writing
    assert lists.refusal(people[0].event(), set()) is None
    assert lists.upload_refusal(people[0].pubkey, [BLOB]) is None


def test_a_banned_key_neither_writes_nor_uploads_nor_lends_itself(people):
    anna, boris = people[:2]
    lists = Lists(banned_pubkeys={anna.pubkey: "spam"})
    assert not lists.empty
    assert prefix(lists.refusal(anna.event(), set())) is Prefix.BLOCKED
    assert prefix(lists.refusal(boris.event(), {anna.pubkey})) is Prefix.BLOCKED
    assert lists.refusal(boris.event(), {boris.pubkey}) is None
    assert "key" in (lists.upload_refusal(anna.pubkey, [BLOB]) or "")
    assert lists.upload_refusal(boris.pubkey, [BLOB]) is None
    # Whoever is banned may still have everything of theirs erased (NIP-62).
    assert lists.refusal(anna.event(62, tags=[["relay", "ALL_RELAYS"]]), set()) is None


def test_once_a_key_is_allowed_strangers_do_not_write(people):
    anna, boris, throw_away = people[:3]
    lists = Lists(allowed_pubkeys={anna.pubkey: ""})
    assert lists.restricts_writing
    assert lists.refusal(anna.event(), set()) is None
    assert prefix(lists.refusal(boris.event(), set())) is Prefix.RESTRICTED
    assert lists.refusal(boris.event(), {anna.pubkey}) is None
    assert lists.upload_refusal(anna.pubkey, [BLOB]) is None
    assert "known" in (lists.upload_refusal(boris.pubkey, [BLOB]) or "")
    to_anna = throw_away.event(1059, "sealed", [["p", anna.pubkey]])
    to_boris = throw_away.event(1059, "sealed", [["p", boris.pubkey]])
    assert lists.refusal(to_anna, set()) is None
    assert prefix(lists.refusal(to_boris, set())) is Prefix.RESTRICTED
    # An address in an ordinary event opens no door.
    mention = throw_away.event(1, "hello", [["p", anna.pubkey]])
    assert prefix(lists.refusal(mention, set())) is Prefix.RESTRICTED


def test_kinds(people):
    note, reaction = people[0].event(1), people[0].event(7)
    only = Lists(allowed_kinds=frozenset({1}))
    assert only.restricts_writing
    assert only.refusal(note, set()) is None
    assert prefix(only.refusal(reaction, set())) is Prefix.BLOCKED
    without = Lists(disallowed_kinds=frozenset({7}))
    assert not without.restricts_writing
    assert without.refusal(note, set()) is None
    assert prefix(without.refusal(reaction, set())) is Prefix.BLOCKED


def test_banned_events_and_blobs(people):
    event = people[0].event()
    lists = Lists(banned_events={event.id: ""}, banned_blobs={BLOB: ""})
    assert prefix(lists.refusal(event, {people[0].pubkey})) is Prefix.BLOCKED
    assert lists.refusal(people[0].event(content="another"), set()) is None
    assert "blob" in (lists.upload_refusal(people[0].pubkey, [BLOB]) or "")
    assert lists.upload_refusal(people[0].pubkey, ["cd" * 32]) is None

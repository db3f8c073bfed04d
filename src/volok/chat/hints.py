"""Relays and other places that contacts tell each other of: who is told what, and what is kept.

1. Only what a person marked is told, and nothing that was heard is passed on.
2. To all contacts together `hints_pool` relays are told at most, and in any 30 days no more than
   that become known to somebody; of these each contact gets `hints_told`. Both are chosen by HMAC
   under a secret of this node, so that asking again gives the same, and whoever is many contacts
   learns no more than the pool.
3. What is told is always the whole present set; it replaces what was told before.
4. What is heard is kept for `hints_keep`, so many for each contact and in all; it is told anew in
   time. What the person removed stays away for as long as the contact tells it.
5. In which order heard relays are tried depends on nothing but their addresses and who tells them:
   two people who heard of the same ones from a common friend meet at the same.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from volok.chat.records import setting
from volok.chat.settings import ChatSettings
from volok.model.hints import RELAY, Hint, InvalidHint, parse_hint
from volok.store.vault import Transaction

POOL_SECONDS = 30 * 86_400
"""The time in which no more relays than the pool holds become known to anybody."""
OFF = "hints.off"
"""The setting that says that no heard relay is used."""


@dataclass(frozen=True, slots=True)
class Share:
    """A place that the person lets contacts know."""

    hint: Hint
    contacts: tuple[str, ...]
    """Ids of those who may know it; empty: all."""
    told_at: int | None
    """When it was first told to anybody, in Unix seconds."""
    ended: bool
    """Whether the person took it back. It is remembered because somebody knows it."""

    def is_for(self, contact: str) -> bool:
        """Whether this contact may know it."""
        return not self.ended and (not self.contacts or contact in self.contacts)


@dataclass(frozen=True, slots=True)
class Heard:
    """A place that a contact told us of."""

    contact: str
    hint: Hint
    until: int
    """Unix seconds."""
    removed: bool
    """Whether the person wants to know nothing of it."""


def _order(secret: bytes, *parts: str) -> bytes:
    return hmac.digest(secret, "\0".join(parts).encode(), "sha256")


def pool(shares: Sequence[Share], secret: bytes, now: int, settings: ChatSettings) -> list[str]:
    """The relays that may be told to anybody now (`now` in Unix seconds)."""
    relays = [share for share in shares if share.hint.kind == RELAY]
    room = settings.hints_pool - sum(
        share.told_at is not None and share.told_at > now - POOL_SECONDS for share in relays
    )
    present = [share for share in relays if not share.ended]
    told = [share for share in present if share.told_at is not None]
    known = [share.hint.place for share in sorted(told, key=lambda share: share.told_at or 0)]
    known = known[: settings.hints_pool]
    fresh = sorted(
        (share.hint.place for share in present if share.told_at is None),
        key=lambda place: _order(secret, "pool", place),
    )
    return known + fresh[: max(0, min(room, settings.hints_pool - len(known)))]


def for_contact(
    shares: Sequence[Share],
    contact: str,
    conversation: bytes,
    secret: bytes,
    now: int,
    settings: ChatSettings,
) -> tuple[str, ...]:
    """What one contact is told: relays, then other places."""
    may = [share.hint for share in shares if share.is_for(contact)]
    open_to_all = set(pool(shares, secret, now, settings))

    def chosen(hints: Iterable[Hint], most: int) -> list[str]:
        places = (hint.place for hint in hints)
        return sorted(places, key=lambda p: _order(secret, conversation.hex(), p))[:most]

    relays = (hint for hint in may if hint.kind == RELAY and hint.place in open_to_all)
    others = (hint for hint in may if hint.kind != RELAY)
    return (*chosen(relays, settings.hints_told), *chosen(others, settings.hints_places))


def in_order(heard: Iterable[Heard], own: Iterable[str]) -> list[str]:
    """The relays to try, the first first: one of each contact, then the second of each. So nobody
    fills the first places by telling many."""
    by_contact: dict[str, set[str]] = defaultdict(set)
    for one in heard:
        if one.hint.kind == RELAY and not one.removed:
            by_contact[one.contact].add(one.hint.place)
    best: dict[str, tuple[int, bytes]] = {}
    for places in by_contact.values():
        for turn, place in enumerate(sorted(places, key=_place)):
            rank = turn, _place(place)
            best[place] = min(best.get(place, rank), rank)
    for place in own:
        best.pop(place, None)
    return sorted(best, key=best.__getitem__)


def _place(url: str) -> bytes:
    return hashlib.sha256(url.encode()).digest()


def heard(tx: Transaction, now: int) -> list[Heard]:
    """What contacts told us and is not out of date, except what blocked ones told."""
    rows = tx.execute(
        "SELECT h.contact, h.place, h.until, h.removed FROM hint h JOIN contact c "
        "ON c.id = h.contact WHERE c.state != 'blocked' AND h.until > ? ORDER BY h.until, h.place",
        (now,),
    )
    found = []
    for contact, place, until, removed in rows:
        try:
            hint = parse_hint(str(place))
        except InvalidHint:  # the rules may have become stricter since
            continue
        if hint is not None:
            found.append(Heard(str(contact), hint, int(until), bool(removed)))
    return found


def candidates(tx: Transaction, own: Sequence[str], now: int) -> list[str]:
    """The relays that may be used when our own are gone, in the order in which to try them."""
    return [] if is_off(tx) else in_order(heard(tx, now), own)


def is_off(tx: Transaction) -> bool:
    """Whether the person wants no heard relay to be used."""
    return bool(setting(tx, OFF, 0))


def hear(
    tx: Transaction,
    contact: str,
    hints: Sequence[Hint],
    sent_ms: int,
    now: int,
    settings: ChatSettings,
) -> None:
    """A contact tells us its places; `sent_ms` says when, by its own clock."""
    fresh = tx.execute(
        "INSERT INTO hint_peer (contact, heard_ms) VALUES (?, ?) ON CONFLICT (contact) "
        "DO UPDATE SET heard_ms = excluded.heard_ms WHERE heard_ms < excluded.heard_ms "
        "RETURNING contact",
        (contact, sent_ms),
    )
    if not fresh:
        return
    known = {str(p) for (p,) in tx.execute("SELECT place FROM hint WHERE contact = ?", (contact,))}
    told = [hint.place for hint in hints]
    tx.many(
        "DELETE FROM hint WHERE contact = ? AND place = ?",
        [(contact, place) for place in known.difference(told)],
    )
    tx.execute("DELETE FROM hint WHERE until <= ?", (now,))
    room = settings.hints_kept - int(tx.execute("SELECT count(*) FROM hint")[0][0])
    for place in told:
        if place not in known:
            if room <= 0:
                continue
            room -= 1
        tx.execute(
            "INSERT INTO hint (contact, place, until) VALUES (?, ?, ?) "
            "ON CONFLICT (contact, place) DO UPDATE SET until = excluded.until",
            (contact, place, now + int(settings.hints_keep)),
        )

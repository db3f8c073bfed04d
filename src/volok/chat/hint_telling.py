"""Letting contacts know of places: what the person marked, and telling each contact their part."""

from __future__ import annotations

import json
from collections.abc import Sequence

from volok.chat import contacts
from volok.chat.hints import POOL_SECONDS, Share, for_contact
from volok.chat.hooks import Hands
from volok.chat.payload import Body
from volok.chat.records import put_out, set_setting, setting
from volok.chat.views import ChatError
from volok.model.hints import MAIL, InvalidHint, parse_hint
from volok.store.vault import Transaction

MAX_SHARES = 64
"""Places that a person may let contacts know."""
_SECRET, _VERSION = "hints.secret", "hints.version"


def shares(tx: Transaction) -> list[Share]:
    """Everything that is shared, or was and is remembered."""
    found = []
    for place, ids, told_at, ended in tx.execute(
        "SELECT place, contacts, told_at, ended FROM share ORDER BY place"
    ):
        try:
            hint = parse_hint(str(place))
        except InvalidHint:  # the rules may have become stricter since
            continue
        if hint is not None:
            when = None if told_at is None else int(told_at)
            found.append(Share(hint, tuple(json.loads(ids)), when, bool(ended)))
    return found


def share(hands: Hands, place: str, to: Sequence[str]) -> str:
    """Let contacts (ids; empty: all) know of a place; returns it in its one form.

    Raises ChatError.
    """
    tx = hands.tx
    try:
        hint = parse_hint(place.strip())
    except InvalidHint as error:
        raise ChatError(str(error)) from error
    if hint is None:
        raise ChatError(
            "This is neither a relay (wss://…), nor a place on a server (webdavs://…, sftp://…, "
            "s3+https://…), nor a mail address (mailto:…)."
        )
    if hint.kind == MAIL and not to:
        raise ChatError("A mail address names you. Say which contacts may know it.")
    for contact in to:
        contacts.must_exist(tx, contact)
    mine = hint.place in contacts.own_relays(tx)
    if not mine and tx.execute("SELECT 1 FROM hint WHERE place = ?", (hint.place,)):
        raise ChatError(
            "You know this relay from a contact. Make it one of yours first, and ask them whether "
            "others may know it."
        )
    if len([each for each in shares(tx) if not each.ended]) >= MAX_SHARES:
        raise ChatError("You let your contacts know enough places. Take one back first.")
    tx.execute(
        "INSERT INTO share (place, contacts) VALUES (?, ?) "
        "ON CONFLICT (place) DO UPDATE SET contacts = excluded.contacts, ended = 0",
        (hint.place, json.dumps(sorted(set(to)))),
    )
    _changed(hands)
    return hint.place


def unshare(hands: Hands, place: str) -> None:
    """Take a place back: contacts are told without it. Raises ChatError."""
    known = [each for each in shares(hands.tx) if each.hint.place == place and not each.ended]
    if not known:
        raise ChatError("You do not share this place.")
    if known[0].told_at is None:
        hands.tx.execute("DELETE FROM share WHERE place = ?", (place,))
    else:
        hands.tx.execute("UPDATE share SET ended = 1 WHERE place = ?", (place,))
    _changed(hands)


def forget_contact(tx: Transaction, contact: str) -> None:
    """Somebody is no contact any more: what was for them alone is shared with nobody."""
    for each in shares(tx):
        if contact not in each.contacts:
            continue
        left = [one for one in each.contacts if one != contact]
        ended = int(each.ended or not left)  # an empty list would mean everybody
        tx.execute(
            "UPDATE share SET contacts = ?, ended = ? WHERE place = ?",
            (json.dumps(left), ended, each.hint.place),
        )


def _changed(hands: Hands) -> None:
    set_setting(hands.tx, _VERSION, _version(hands.tx) + 1)


def _version(tx: Transaction) -> int:
    return int(setting(tx, _VERSION, 0) or 0)


def tell(hands: Hands) -> None:
    """Tell every contact whose part is another one now, or was told long ago."""
    tx, now = hands.tx, hands.now_ms // 1000
    version = _version(tx)
    if not version:
        return
    due = tx.execute(
        "SELECT c.id, c.conversation, coalesce(p.told, '[]') "
        "FROM contact c LEFT JOIN hint_peer p ON p.contact = c.id WHERE c.state = 'active' "
        "AND (p.version IS NULL OR p.version != ? OR p.told_at < ?)",
        (version, now - int(hands.settings.hints_repeat)),
    )
    if not due:
        return
    tx.execute("DELETE FROM share WHERE ended AND coalesce(told_at, 0) <= ?", (now - POOL_SECONDS,))
    secret = _secret(hands)
    for contact, conversation, told in due:
        places = for_contact(shares(tx), contact, conversation, secret, now, hands.settings)
        if places or json.loads(told):
            _tell(hands, contact, places)
        tx.execute(
            "INSERT INTO hint_peer (contact, version, told, told_at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (contact) DO UPDATE SET version = excluded.version, "
            "told = excluded.told, told_at = excluded.told_at",
            (contact, version, json.dumps(places), now),
        )
        tx.many(
            "UPDATE share SET told_at = ? WHERE place = ? AND told_at IS NULL",
            [(now, place) for place in places],
        )


def _tell(hands: Hands, contact: str, places: Sequence[str]) -> None:
    body: Body = {"type": "hints", "places": list(places)}
    hands.tx.execute(
        "DELETE FROM outbox WHERE contact = ? AND type = 'hints' AND session IS NULL", (contact,)
    )
    put_out(hands.tx, contact, hands.keys.crypto.random(16), body, hands.now_ms)


def _secret(hands: Hands) -> bytes:
    secret = setting(hands.tx, _SECRET)
    if not isinstance(secret, bytes):
        secret = hands.keys.crypto.random(32)
        set_setting(hands.tx, _SECRET, secret)
    return secret

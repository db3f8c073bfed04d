"""Invites and how a relationship begins.

1. An invite's account only receives. Whoever accepts starts a session with it and says hello with
   a random token; the inviter answers from a fresh account of the relationship, with that token,
   which only the invite's account could read. From then on both use keys that exist for these two
   alone.
2. A single-use invite has a one-time key, so a second acceptance cannot be opened: it is shown as a
   warning to both. One for several people has a fallback key; first frames are remembered by the
   id of their session.
3. Revoking an invite deletes its account and asks the relays to delete its bundle.
"""

from __future__ import annotations

from volok.chat import contacts, nearby
from volok.chat.content import Introduction, parse_content
from volok.chat.invite_codec import (
    InvalidInvite,
    InviteBundle,
    encode_bundle,
    encode_link,
    locator_secret,
    parse_bundle,
)
from volok.chat.payload import InvalidPayload
from volok.chat.ratchet import FirstFrame, start_session, take_up
from volok.chat.records import Keys, journal, notice, put_out, to_text
from volok.chat.settings import ChatSettings
from volok.chat.views import ChatError, ContactState, InviteView
from volok.model.crypto import CryptoError
from volok.store.vault import Transaction

DAY = 86_400


def create(tx: Transaction, keys: Keys, now: int, days: int, multiple: bool) -> str:
    """Make an invite; returns its id. Raises ChatError when no link can be made."""
    identifier = keys.crypto.random(8).hex()
    account = keys.crypto.new_account()
    olm_key = account.new_fallback_key() if multiple else account.new_one_time_key()
    inbox, sealing = contacts.new_inbox(tx, keys, account, now, invite=identifier)
    secret = keys.crypto.random(16)
    relays = contacts.own_relays(tx)
    bundle = encode_bundle(
        InviteBundle(
            inbox=bytes.fromhex(inbox),
            identity=account.identity_key,
            olm_key=olm_key,
            multiple=multiple,
            expires_at=now + days * DAY,
            sealing=sealing,
            name=contacts.own_name(tx),
            relays=relays,
        )
    )
    try:
        link = encode_link(secret, bundle, relays)
    except InvalidInvite as error:
        raise ChatError(str(error)) from error
    tx.execute(
        "INSERT INTO invite (id, inbox, secret, bundle, link, created_at, expires_at, multiple) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (identifier, inbox, secret, bundle, link, now, now + days * DAY, int(multiple)),
    )
    return identifier


def secrets(tx: Transaction, identifier: str) -> tuple[bytes, bytes]:
    """The secret and the bundle of an invite of ours."""
    ((secret, bundle),) = tx.execute(
        "SELECT secret, bundle FROM invite WHERE id = ?", (identifier,)
    )
    return secret, bundle


def view(tx: Transaction, identifier: str) -> InviteView:
    """One invite. Raises ChatError."""
    for invite in views(tx):
        if invite.id == identifier:
            return invite
    raise ChatError("There is no such invite.")


def views(tx: Transaction) -> list[InviteView]:
    """All invites, newest first."""
    rows = tx.execute(
        "SELECT id, link, created_at, expires_at, multiple, used, revoked FROM invite "
        "ORDER BY created_at DESC, rowid DESC"
    )
    return [
        InviteView(i, link, made * 1000, until * 1000, bool(multiple), used, bool(revoked))
        for i, link, made, until, multiple, used, revoked in rows
    ]


def revoke(tx: Transaction, identifier: str) -> tuple[str | None, bytes]:
    """End an invite; returns the event id of its bundle and the locator's secret key."""
    rows = tx.execute("SELECT inbox, event, secret FROM invite WHERE id = ?", (identifier,))
    if not rows:
        raise ChatError("There is no such invite.")
    inbox, event, secret = rows[0]
    tx.execute("UPDATE invite SET revoked = 1 WHERE id = ?", (identifier,))
    # Frames of sessions that exist may still come to this inbox; nothing new can start here.
    tx.execute("UPDATE inbox SET account = x'' WHERE public = ?", (inbox,))
    return event, locator_secret(secret)


def accept(tx: Transaction, keys: Keys, settings: ChatSettings, encoded: bytes, now: int) -> str:
    """Accept an invite's bundle: a new contact, and our hello in the outbox. Returns its id.

    Raises InvalidInvite; ChatError when the invite is ours, accepted already, or expired.
    """
    bundle = parse_bundle(encoded)
    inbox = bundle.inbox.hex()
    if bundle.expires_at <= now:
        raise ChatError("This invite has expired. Ask for a new one.")
    if tx.execute("SELECT 1 FROM inbox WHERE public = ?", (inbox,)):
        raise ChatError("This invite is your own. Send it to the person you want to talk to.")
    accepted = tx.execute("SELECT value FROM setting WHERE name = ?", ("accepted " + inbox,))
    if accepted and tx.execute("SELECT 1 FROM contact WHERE id = ?", (accepted[0][0],)):
        raise ChatError("You have accepted this invite already.")
    conversation, token = keys.crypto.random(16), keys.crypto.random(32)
    contact = conversation.hex()
    account = keys.crypto.new_account()
    own, _ = contacts.new_inbox(tx, keys, account, now, contact=contact)
    tx.execute(
        "INSERT INTO contact (id, conversation, name, state, inbox, identity, their_inbox, "
        "their_sealing, token, timer, created_at, latest_ms) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, "
        "(SELECT coalesce((SELECT value FROM setting WHERE name = 'timer'), 0)), ?, ?)",
        (
            contact,
            conversation,
            bundle.name or "?",
            ContactState.WAITING.value,
            own,
            bundle.identity,
            inbox,
            bundle.sealing,
            token,
            now,
            now * 1000,
        ),
    )
    contacts.set_relays(tx, contact, bundle.relays)
    try:
        start_session(tx, keys, settings, contact, account, bundle.identity, bundle.olm_key)
    except CryptoError as error:
        raise InvalidInvite("This invite cannot be used. Ask for a new one.") from error
    body = contacts.introduction(tx, keys, "hello", own, account)
    body["key"] = to_text(account.new_one_time_key())
    body["token"] = to_text(token)
    contacts.save_account(tx, keys, own, account)
    put_out(tx, contact, keys.crypto.random(16), body, now * 1000)
    tx.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", ("accepted " + inbox, contact))
    if not bundle.multiple:
        nearby.remember_acceptance(tx, contact, bundle.sealing)
    journal(tx, contact)
    return contact


def meet(
    tx: Transaction, keys: Keys, settings: ChatSettings, first: FirstFrame, now_ms: int
) -> bool:
    """Decide about the first frame of a session nobody knows; returns whether it was taken up."""
    if first.invite is not None:
        return _hello(tx, keys, settings, first, now_ms)
    rows = tx.execute(
        "SELECT id, state, identity, token, conversation FROM contact WHERE id = ?",
        (first.contact,),
    )
    if not rows:
        return False
    contact, state, identity, token, conversation = rows[0]
    if first.payload.conversation != conversation:
        return False
    if state == ContactState.WAITING.value and first.identity != identity:
        return _welcome(tx, keys, settings, first, contact, token, now_ms)
    if first.identity != identity:
        _key_changed(tx, keys, contact, first.identity, now_ms)
        return False
    take_up(tx, keys, settings, first, contact)
    contacts.tell_keys(tx, keys, contact, "keys", now_ms, reset=True)
    return True


def _introduced(first: FirstFrame, kind: str) -> Introduction | None:
    try:
        came = parse_content(first.payload.body)
    except InvalidPayload:
        return None
    return came if isinstance(came, Introduction) and came.type == kind else None


def _hello(
    tx: Transaction, keys: Keys, settings: ChatSettings, first: FirstFrame, now_ms: int
) -> bool:
    came = _introduced(first, "hello")
    rows = tx.execute(
        "SELECT expires_at, multiple, used, revoked FROM invite WHERE id = ?", (first.invite,)
    )
    conversation = first.payload.conversation
    contact = conversation.hex()
    if came is None or not rows or tx.execute("SELECT 1 FROM contact WHERE id = ?", (contact,)):
        return False
    expires_at, multiple, used, revoked = rows[0]
    if revoked or expires_at * 1000 <= now_ms or (used and not multiple):
        return False
    account = keys.crypto.new_account()
    own, _ = contacts.new_inbox(tx, keys, account, now_ms // 1000, contact=contact)
    tx.execute(
        "INSERT INTO contact (id, conversation, name, state, inbox, identity, their_inbox, "
        "their_sealing, their_reset, their_epoch, timer, created_at, latest_ms) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
        "(SELECT coalesce((SELECT value FROM setting WHERE name = 'timer'), 0)), ?, ?)",
        (
            contact,
            conversation,
            came.name,
            ContactState.ACTIVE.value,
            own,
            first.identity,
            came.inbox,
            came.sealing,
            came.reset,
            first.payload.epoch,
            now_ms // 1000,
            now_ms,
        ),
    )
    contacts.learn(tx, contact, came)
    take_up(tx, keys, settings, first, contact)
    tx.execute("UPDATE session SET sends = 0 WHERE id = ?", (first.session.id,))
    start_session(tx, keys, settings, contact, account, first.identity, came.olm_key or b"")
    body = contacts.introduction(tx, keys, "welcome", own, account)
    body["token"] = to_text(came.token or b"")
    contacts.save_account(tx, keys, own, account)
    put_out(tx, contact, keys.crypto.random(16), body, now_ms)
    tx.execute(
        "UPDATE invite SET used = used + 1, contact = ? WHERE id = ?", (contact, first.invite)
    )
    notice(tx, keys.crypto, contact, "contact-added", came.name or "", now_ms)
    journal(tx, contact)
    return True


def _welcome(
    tx: Transaction,
    keys: Keys,
    settings: ChatSettings,
    first: FirstFrame,
    contact: str,
    token: bytes,
    now_ms: int,
) -> bool:
    came = _introduced(first, "welcome")
    if came is None or came.token != token:
        return False
    tx.execute(
        "UPDATE contact SET identity = ?, state = ?, their_epoch = ?, token = NULL WHERE id = ?",
        (first.identity, ContactState.ACTIVE.value, first.payload.epoch, contact),
    )
    contacts.learn(tx, contact, came)
    take_up(tx, keys, settings, first, contact)
    tx.execute(
        "UPDATE session SET sends = 0 WHERE contact = ? AND id != ?", (contact, first.session.id)
    )
    notice(tx, keys.crypto, contact, "contact-added", came.name or "", now_ms)
    return True


def _key_changed(tx: Transaction, keys: Keys, contact: str, identity: bytes, now_ms: int) -> None:
    changed = tx.execute(
        "UPDATE contact SET pending_identity = ?, state = ? "
        "WHERE id = ? AND state = ? RETURNING id",
        (identity, ContactState.KEY_CHANGED.value, contact, ContactState.ACTIVE.value),
    )
    if changed:
        notice(tx, keys.crypto, contact, "key-changed", "", now_ms)
        journal(tx, contact)


def second_use(tx: Transaction, keys: Keys, inbox: str, identity: bytes, now_ms: int) -> None:
    """A first frame came to a single-use invite that is used up: warn both, once."""
    rows = tx.execute(
        "SELECT v.id, v.contact FROM invite v JOIN contact c ON c.id = v.contact "
        "WHERE v.inbox = ? AND NOT v.multiple AND NOT v.warned AND c.identity != ?",
        (inbox, identity),
    )
    for invite, contact in rows:
        tx.execute("UPDATE invite SET warned = 1 WHERE id = ?", (invite,))
        notice(tx, keys.crypto, contact, "invite-used-twice", "", now_ms)
        put_out(tx, contact, keys.crypto.random(16), {"type": "invite-warning"}, now_ms)

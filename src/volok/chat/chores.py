"""What the clock brings about: receipts, requests for what is missing, expiry, new keys."""

from __future__ import annotations

from collections.abc import Sequence

from volok.chat import contacts
from volok.chat.history import remove_message
from volok.chat.hooks import Hands
from volok.chat.kit import Kit
from volok.chat.receive import close_gaps
from volok.chat.records import journal, put_out, to_text
from volok.model.envelope import DAY, KIND_ENVELOPE, backdated
from volok.model.event import Event, sign_event
from volok.store.deliveries import ItemKind
from volok.store.vault_deliveries import queue

DELETIONS = 100
"""Envelopes named in one deletion request (NIP-09)."""


def send_receipts(hands: Hands) -> bool:
    """Queue the receipts that are due; returns whether there were any."""
    tx = hands.tx
    due = tx.execute(
        "UPDATE contact SET ack_due_ms = NULL WHERE ack_due_ms <= ? RETURNING id", (hands.now_ms,)
    )
    for (contact,) in due:
        sessions = tx.execute(
            "UPDATE session SET told_in = next_in WHERE contact = ? AND next_in > told_in "
            "RETURNING id, next_in",
            (contact,),
        )
        read = tx.execute(
            "DELETE FROM seen WHERE message IN "
            "(SELECT message FROM seen WHERE contact = ? LIMIT 200) RETURNING message",
            (contact,),
        )
        body = {
            "type": "ack",
            "sessions": [[to_text(session), number] for session, number in sessions],
            "read": [message for (message,) in read],
        }
        if sessions or read:
            put_out(tx, contact, hands.keys.crypto.random(16), body, hands.now_ms)
        if tx.execute("SELECT 1 FROM seen WHERE contact = ?", (contact,)):
            tx.execute("UPDATE contact SET ack_due_ms = ? WHERE id = ?", (hands.now_ms, contact))
    return bool(due)


def next_receipt(hands: Hands) -> int | None:
    """When the next receipt is due, in Unix milliseconds."""
    rows = hands.tx.execute("SELECT min(ack_due_ms) FROM contact")
    return None if rows[0][0] is None else int(rows[0][0])


def ask_for_missing(hands: Hands) -> None:
    """Ask for frames that stay missing."""
    for contact, body in close_gaps(hands):
        put_out(hands.tx, contact, hands.keys.crypto.random(16), body, hands.now_ms)


def expire_messages(hands: Hands) -> None:
    """Remove messages whose time has come, with their files."""
    tx = hands.tx
    rows = tx.execute("SELECT id, contact FROM message WHERE expires_ms <= ?", (hands.now_ms,))
    for message, contact in rows:
        hands.effects.gone_blobs += remove_message(tx, message)
        journal(tx, contact, message)


def next_expiry(hands: Hands) -> int | None:
    """When the next message expires, in Unix milliseconds."""
    rows = hands.tx.execute("SELECT min(expires_ms) FROM message WHERE expires_ms IS NOT NULL")
    return None if rows[0][0] is None else int(rows[0][0])


def reseal(hands: Hands) -> None:
    """Let envelopes be sealed anew before relays forget them."""
    hands.tx.execute(
        "UPDATE outbox SET sealed = 0 WHERE sealed = 1 AND expires_at < ?",
        (hands.now_ms // 1000 + int(hands.settings.reseal_before),),
    )


def rotate_keys(hands: Hands) -> None:
    """Give inboxes of relationships a new sealing key when theirs is old; delete ancient ones."""
    tx, now = hands.tx, hands.now_ms // 1000
    due = tx.execute(
        "SELECT c.id, c.inbox FROM contact c WHERE c.state = 'active' AND "
        "(SELECT max(CASE WHEN reset THEN 0 ELSE created_at END) FROM sealing "
        "WHERE inbox = c.inbox) < ?",
        (now - int(hands.settings.rotate_keys),),
    )
    for contact, inbox in due:
        contacts.new_sealing_key(tx, hands.keys, inbox, now)
        contacts.tell_keys(tx, hands.keys, contact, "keys", hands.now_ms, reset=False)
    tx.execute(
        "DELETE FROM sealing WHERE created_at < ? AND NOT reset AND public NOT IN "
        "(SELECT public FROM (SELECT public, max(created_at) FROM sealing GROUP BY inbox))",
        (now - int(hands.settings.keep_keys),),
    )
    # With what is still to be asked of relays: an inbox that is gone can sign no request.
    for (inbox,) in tx.execute(
        "SELECT i.public FROM inbox i JOIN invite v ON v.id = i.invite WHERE v.expires_at < ?",
        (now - int(hands.settings.keep_keys),),
    ):
        contacts.drop_inbox(tx, inbox)
    tx.execute(
        "DELETE FROM journal WHERE cursor <= (SELECT max(cursor) FROM journal) - ?",
        (hands.settings.journal_lines,),
    )


def next_deletion(hands: Hands) -> int | None:
    """When relays are next asked to delete something, in Unix milliseconds."""
    rows = hands.tx.execute(
        "SELECT min((SELECT min(due_ms) FROM spent WHERE inbox = public)) FROM inbox"
    )
    return None if rows[0][0] is None else int(rows[0][0])


async def ask_to_delete(kit: Kit) -> None:
    """Ask our relays to delete envelopes that we have taken in (NIP-09, as its addressee)."""
    rows = await kit.vault.read(
        lambda tx: tx.execute(
            "SELECT i.secret, s.number, s.event FROM inbox i JOIN spent s ON s.inbox = i.public "
            "AND s.due_ms <= ? ORDER BY i.public LIMIT 2000",
            (kit.now_ms(),),
        )
    )
    spent: dict[bytes, list[tuple[int, str]]] = {}
    for secret, number, event in rows:
        spent.setdefault(secret, []).append((number, event))
    for secret, some in spent.items():
        for at in range(0, len(some), DELETIONS):
            numbers, events = zip(*some[at : at + DELETIONS], strict=True)
            await delete_events(kit, secret, events, numbers)


async def delete_events(
    kit: Kit, secret: bytes, events: Sequence[str], numbers: Sequence[int] = ()
) -> None:
    """Sign one deletion request with an inbox key, and queue it for our relays.

    `numbers` are the rows of `spent` that are done with it.
    """
    # Dated back like an envelope: equal times would link the inboxes of one person.
    created_at = backdated(kit.keys.crypto, kit.now())
    request: Event = sign_event(
        kit.keys.crypto,
        secret,
        created_at=created_at,
        kind=5,
        tags=(
            *(("e", event) for event in events),
            ("k", str(KIND_ENVELOPE)),
            ("expiration", str(created_at + kit.settings.envelope_days * DAY)),
        ),
        content="",
    )
    await kit.store.add([request], int(kit.now()))

    def record(hands: Hands) -> None:
        hands.tx.many("DELETE FROM spent WHERE number = ?", [(number,) for number in numbers])
        queue(hands.tx, ItemKind.EVENT, [request.id], contacts.reading_relays(hands.tx))
        hands.effects.queued = True

    await kit.change_quietly(record)

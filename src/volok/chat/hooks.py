"""What each kind of content does when it comes in: one hook per kind.

A hook runs inside the transaction that also saves the ratchet state. What must happen outside the
vault (blobs to write or erase, events that are done with) it notes in `Effects`; losing those in a
crash loses no content.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from volok.chat import contacts, hints
from volok.chat.content import (
    About,
    Ack,
    Content,
    Hints,
    Introduction,
    InviteWarning,
    Nack,
    Piece,
    Text,
    Timer,
)
from volok.chat.history import add_file, change_text, erase_text, index_texts, react
from volok.chat.payload import Body, Payload, encode_body, parse_body
from volok.chat.ratchet import Decrypted, start_session
from volok.chat.records import LAST_PLACE, Keys, journal, journal_all, notice
from volok.chat.settings import ChatSettings
from volok.chat.views import MessageState
from volok.model.crypto import CryptoError
from volok.store.vault import Transaction
from volok.store.vault_deliveries import unqueue, want

MAX_EARLY = 1000
"""Reactions, edits and deletions kept for messages of a contact that have not come yet."""

SOLVED = "problem = CASE state WHEN 'failed' THEN NULL ELSE problem END"
"""SQL: a message that moves on has no problem any more, but one of its files may still have."""


@dataclass(slots=True)
class Effects:
    """What is to be done outside the vault once the transaction has returned."""

    done_events: list[str] = field(default_factory=list)
    """Our sealed events whose receipt came: they leave our store."""
    gone_blobs: list[str] = field(default_factory=list)
    blobs: list[tuple[str, bytes]] = field(default_factory=list)
    """Blobs that came whole as pieces: (hash announced, bytes)."""
    awaited: list[str] = field(default_factory=list)
    """Blobs that were announced just now; they may be here already."""
    scopes: bool = False
    """Inboxes or relays may have changed."""
    queued: bool = False
    """Something was queued for, or is wanted from, relays."""

    def clear(self) -> None:
        """Forget everything: the transaction is tried again."""
        self.done_events.clear()
        self.gone_blobs.clear()
        self.blobs.clear()
        self.awaited.clear()
        self.scopes = self.queued = False


@dataclass(frozen=True, slots=True)
class Hands:
    """What a hook works with."""

    tx: Transaction
    keys: Keys
    settings: ChatSettings
    effects: Effects
    now_ms: int


def apply(hands: Hands, came: Decrypted, content: Content) -> None:
    """Run the hook of a content."""
    match content:
        case Introduction():
            contacts.learn(hands.tx, came.contact, content)
            if content.type == "epoch":  # an old backup may know less than we told
                hands.tx.execute(
                    "UPDATE hint_peer SET version = 0 WHERE contact = ?", (came.contact,)
                )
        case Text():
            _text(hands, came, content)
        case About():
            _about(hands, came.contact, content, came.payload)
        case Timer():
            _timer(hands, came.contact, content)
        case Ack():
            _ack(hands, came.contact, content)
        case Nack():
            _nack(hands, came.contact, content)
        case InviteWarning():
            notice(hands.tx, hands.keys.crypto, came.contact, "invite-used-twice", "", hands.now_ms)
        case Piece():
            _piece(hands, came.contact, content)
        case Hints():
            _hints(hands, came.contact, content, came.payload.sent_at)


def _text(hands: Hands, came: Decrypted, text: Text) -> None:
    tx, contact = hands.tx, came.contact
    identifier = came.payload.content.hex()
    # Before the first that the sender wrote after it, should that have come already.
    number = tx.execute(
        "INSERT OR IGNORE INTO message (id, contact, mine, text, sent_ms, sort_ms, counter, state, "  # noqa: S608
        "reply, once, timer) VALUES (?, ?, 0, ?, ?, coalesce((SELECT min(sort_ms) FROM message "
        f"WHERE contact = ? AND mine = 0 AND counter > ?), {LAST_PLACE}), ?, ?, ?, ?, ?) "
        "RETURNING number",
        (
            identifier,
            contact,
            text.text,
            came.payload.sent_at,
            contact,
            text.counter,
            hands.now_ms,
            contact,
            text.counter,
            MessageState.RECEIVED.value,
            text.reply,
            int(text.once),
            text.timer,
        ),
    )
    if not number:
        return
    index_texts(tx, [(number[0][0], text.text)])
    relays = contacts.reading_relays(tx) if text.files else ()
    for place, file in enumerate(text.files):
        file_id = f"{identifier}{place:02x}"
        add_file(tx, file_id, identifier, contact, place, file, here=False)
        for chunk in file.chunks:
            want(tx, chunk.name, chunk.size, relays)
            hands.effects.awaited.append(chunk.name)
            hands.effects.queued = True
    early = tx.execute(
        "DELETE FROM early WHERE contact = ? AND message = ? RETURNING body, sent_ms",
        (contact, identifier),
    )
    for body, sent_ms in sorted(early, key=lambda row: int(row[1])):
        about = _parse_about(parse_body(body))
        _apply_about(hands, contact, about, sent_ms)
    tx.execute("UPDATE contact SET latest_ms = ? WHERE id = ?", (hands.now_ms, contact))
    journal(tx, contact, identifier, new=True)


def _parse_about(body: Body) -> About:
    return About(body["type"], body["to"], body.get("text", ""))


def _about(hands: Hands, contact: str, about: About, payload: Payload) -> None:
    # A reaction may be to a message of either side; edit and delete only to the sender's own.
    known = hands.tx.execute(
        "SELECT 1 FROM message WHERE id = ? AND contact = ?", (about.to, contact)
    )
    if known:
        _apply_about(hands, contact, about, payload.sent_at)
        return
    hands.tx.execute(
        "INSERT INTO early (contact, message, body, sent_ms) VALUES (?, ?, ?, ?)",
        (contact, about.to, encode_body(payload.body), payload.sent_at),
    )
    hands.tx.execute(
        "DELETE FROM early WHERE contact = ? AND rowid <= "
        "(SELECT max(rowid) FROM early WHERE contact = ?) - ?",
        (contact, contact, MAX_EARLY),
    )


def _apply_about(hands: Hands, contact: str, about: About, sent_ms: int) -> None:
    tx = hands.tx
    match about.type:
        case "reaction":
            react(tx, about.to, about.text, sent_ms, mine=False)
        case "edit":
            change_text(tx, contact, about.to, about.text, sent_ms, mine=False)
        case "delete":
            hands.effects.gone_blobs += erase_text(tx, contact, about.to, mine=False)
    journal(tx, contact, about.to)


def _timer(hands: Hands, contact: str, timer: Timer) -> None:
    changed = hands.tx.execute(
        "UPDATE contact SET timer = ? WHERE id = ? AND timer != ? RETURNING id",
        (timer.seconds, contact, timer.seconds),
    )
    if changed:
        notice(
            hands.tx,
            hands.keys.crypto,
            contact,
            "timer-changed",
            str(timer.seconds),
            hands.now_ms,
        )
        journal(hands.tx, contact)


def _ack(hands: Hands, contact: str, ack: Ack) -> None:
    tx = hands.tx
    for session, upto in ack.sessions:
        rows = tx.execute(
            "DELETE FROM outbox WHERE contact = ? AND session = ? AND sequence < ? "
            "RETURNING number, message",
            (contact, session, upto),
        )
        hands.effects.done_events += drop_sealed(tx, [number for number, _ in rows])
        delivered = [str(message) for _, message in rows if message is not None]
        _advance_states(tx, contact, delivered, MessageState.DELIVERED)
    _advance_states(tx, contact, ack.read, MessageState.READ)


def _advance_states(
    tx: Transaction, contact: str, messages: Sequence[str], state: MessageState
) -> None:
    below = (
        "('queued', 'relayed', 'failed')"
        if state is MessageState.DELIVERED
        else ("('queued', 'relayed', 'failed', 'delivered')")
    )
    changed = tx.execute(
        f"UPDATE message SET state = ?, {SOLVED} WHERE id IN (SELECT value FROM json_each(?)) "  # noqa: S608
        f"AND contact = ? AND mine AND notice IS NULL AND state IN {below} RETURNING id",
        (state.value, json.dumps(messages), contact),
    )
    journal_all(tx, ((contact, str(message)) for (message,) in changed))


def drop_sealed(tx: Transaction, outbox: Sequence[int]) -> list[str]:
    """Forget the sealed events of rows of the outbox and what waits of them; returns their ids."""
    rows = tx.execute(
        "DELETE FROM sealed WHERE outbox IN (SELECT value FROM json_each(?)) RETURNING event",
        (json.dumps(outbox),),
    )
    events = [str(event) for (event,) in rows]
    unqueue(tx, events)
    return events


def encrypt_anew(hands: Hands, contact: str) -> None:
    """Let everything that waits for a receipt be encrypted again, under the session of then."""
    tx = hands.tx
    tx.execute("DELETE FROM outbox WHERE contact = ? AND type = 'ack'", (contact,))
    rows = tx.execute(
        "UPDATE outbox SET session = NULL, sequence = NULL, frame = NULL, sealed = 0 "
        "WHERE contact = ? AND session IS NOT NULL RETURNING number",
        (contact,),
    )
    hands.effects.done_events += drop_sealed(tx, [number for (number,) in rows])


def _nack(hands: Hands, contact: str, nack: Nack) -> None:
    tx = hands.tx
    tx.execute(
        "UPDATE outbox SET sealed = 0 WHERE contact = ? AND session = ? "
        "AND sequence >= ? AND sequence < ?",
        (contact, nack.session, nack.start, nack.stop),
    )
    if nack.lost and tx.execute(
        "UPDATE session SET sends = 0 WHERE id = ? AND contact = ? AND sends RETURNING id",
        (nack.session, contact),
    ):
        restart(hands, contact)


def restart(hands: Hands, contact: str) -> None:
    """Start a new session by the contact's reset key and encrypt again what waits."""
    rows = hands.tx.execute(
        "SELECT i.public, i.account, c.identity, c.their_reset FROM contact c "
        "JOIN inbox i ON i.public = c.inbox WHERE c.id = ?",
        (contact,),
    )
    inbox, pickle, identity, reset = rows[0]
    if reset is None:
        return
    account = hands.keys.crypto.load_account(pickle, hands.keys.pickle_key)
    try:
        start_session(hands.tx, hands.keys, hands.settings, contact, account, identity, reset)
    except CryptoError:
        return
    contacts.save_account(hands.tx, hands.keys, inbox, account)
    encrypt_anew(hands, contact)


def _piece(hands: Hands, contact: str, piece: Piece) -> None:
    tx = hands.tx
    rows = tx.execute(
        "SELECT c.size FROM chunk c JOIN file f ON f.id = c.file "
        "WHERE c.name = ? AND f.contact = ? AND NOT c.here",
        (piece.name, contact),
    )
    if not rows or piece.start + len(piece.data) > rows[0][0]:
        return
    tx.execute(
        "INSERT OR IGNORE INTO piece VALUES (?, ?, ?)", (piece.name, piece.start, piece.data)
    )
    pieces = tx.execute(
        "SELECT start, data FROM piece WHERE name = ? ORDER BY start", (piece.name,)
    )
    whole = b""
    for start, data in pieces:
        if start != len(whole):
            return
        whole += data
    if len(whole) == rows[0][0]:
        hands.effects.blobs.append((piece.name, whole))


def _hints(hands: Hands, contact: str, told: Hints, sent_ms: int) -> None:
    tx, now = hands.tx, hands.now_ms // 1000
    hints.hear(tx, contact, told.places, sent_ms, now, hands.settings)
    hands.effects.scopes = True
    journal(tx, contact)

"""From parts to contents: one transaction takes in a batch and does all that it brings about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from volok.chat import invites
from volok.chat.content import SILENT, parse_content
from volok.chat.hooks import Hands, apply, encrypt_anew
from volok.chat.payload import Body, InvalidPayload
from volok.chat.ratchet import Decrypted, Frame, assemble, decrypt_ready, first_frames, hold, place
from volok.chat.records import notice, to_text
from volok.chat.views import ContactState
from volok.model.envelope import Part


def take_in(hands: Hands, parts: Sequence[tuple[Part, str, str]]) -> None:
    """Take in opened parts, each with its inbox and the id of its event."""
    tx, settings = hands.tx, hands.settings
    places: dict[bytes, int | None] = {}
    frames: dict[bytes, list[Frame]] = {}
    firsts: list[tuple[Part, str]] = []
    spent: dict[str, list[str]] = {}
    for part, inbox, event in parts:
        spent.setdefault(inbox, []).append(event)
        if part.sequence == part.index == 0:
            firsts.append((part, inbox))
        if part.session not in places:
            places[part.session] = place(tx, part.session)
        # What was decrypted already, and what belongs to a session that is gone, is dropped.
        next_in = places[part.session]
        if next_in is None or part.sequence < next_in:
            continue
        if frame := assemble(tx, part, inbox, hands.now_ms, settings):
            frames.setdefault(part.session, []).append(frame)
    for session, some in frames.items():
        advance(hands, session, some)
    for inbox, events in spent.items():
        _note_spent(hands, inbox, events)
    # Only now: the first and the second use of an invite may have come in one batch.
    for part, inbox in firsts:
        _watch_second_use(hands, part, inbox)


def _note_spent(hands: Hands, inbox: str, events: Iterable[str]) -> None:
    settings = hands.settings
    chance = int.from_bytes(hands.keys.crypto.random(4), "big") / (1 << 32)
    due = hands.now_ms + int((settings.delete_delay + chance * settings.delete_jitter) * 1000)
    before = hands.tx.execute("SELECT min(due_ms) FROM spent WHERE inbox = ?", (inbox,))[0][0]
    hands.tx.many(
        "INSERT INTO spent (event, inbox, due_ms) VALUES (?, ?, ?)",
        [(event, inbox, due if before is None else before) for event in events],
    )


def _watch_second_use(hands: Hands, part: Part, inbox: str) -> None:
    tx = hands.tx
    if tx.execute("SELECT 1 FROM session_known WHERE id = ?", (part.session,)):
        return
    if tx.execute(
        "SELECT 1 FROM invite WHERE inbox = ? AND used AND NOT multiple AND NOT warned", (inbox,)
    ):
        invites.second_use(tx, hands.keys, inbox, part.identity, hands.now_ms)


def advance(
    hands: Hands, session: bytes, frames: Sequence[Frame] = (), *, past_gaps: bool = False
) -> None:
    """Decrypt what has its turn in a session and apply it; take the session up if it is new.

    `frames` have just come.
    """
    tx = hands.tx
    if not tx.execute("SELECT 1 FROM session WHERE id = ?", (session,)):
        hold(tx, frames, hands.now_ms, hands.settings)
        frames = ()
        for first in first_frames(tx, hands.keys, session):
            if invites.meet(tx, hands.keys, hands.settings, first, hands.now_ms):
                hands.effects.scopes = True
                contact = tx.execute("SELECT contact FROM session WHERE id = ?", (session,))[0][0]
                opening = Decrypted(contact, session, first.payload)
                if _receive(hands, opening):
                    _note_receipt(hands, [opening])
                break
        else:
            return
    ready = decrypt_ready(
        tx, hands.keys, hands.settings, session, frames, hands.now_ms, past_gaps=past_gaps
    )
    taken = [came for came in ready if _receive(hands, came)]
    if taken:
        _note_receipt(hands, taken)
    _hurry_receipt(hands, session)


def _receive(hands: Hands, came: Decrypted) -> bool:
    """Apply a content; returns whether it is to be acknowledged."""
    tx, payload = hands.tx, came.payload
    state, epoch = tx.execute(
        "SELECT state, their_epoch FROM contact WHERE id = ?", (came.contact,)
    )[0]
    if state == ContactState.BLOCKED.value:
        return False
    if payload.epoch != epoch:
        _note_epoch(hands, came, epoch)
    fresh = tx.execute(
        "INSERT OR IGNORE INTO content_known VALUES (?, ?) RETURNING 1",
        (came.contact, payload.content),
    )
    if fresh:
        try:
            content = parse_content(payload.body)
        except InvalidPayload:
            return True
        if content is not None and payload.body["type"] not in ("hello", "welcome"):
            apply(hands, came, content)
    return True


def _note_receipt(hands: Hands, taken: Sequence[Decrypted]) -> None:
    tx, settings, last = hands.tx, hands.settings, taken[-1]
    if all(came.payload.body["type"] in SILENT for came in taken):
        next_in, told = tx.execute(
            "SELECT next_in, told_in FROM session WHERE id = ?", (last.session,)
        )[0]
        if next_in - told < settings.receipts_alone:
            return
    jitter = int.from_bytes(hands.keys.crypto.random(2), "big") / 65536 * settings.receipt_jitter
    due = hands.now_ms + int((settings.receipt_delay + jitter) * 1000)
    tx.execute(
        "UPDATE contact SET ack_due_ms = ? WHERE id = ? AND ack_due_ms IS NULL",
        (due, last.contact),
    )


def _hurry_receipt(hands: Hands, session: bytes) -> None:
    # Who has much to send would otherwise stand still at the end of the window.
    hands.tx.execute(
        "UPDATE contact SET ack_due_ms = ? WHERE ack_due_ms > ? AND id = "
        "(SELECT contact FROM session WHERE id = ? AND next_in - told_in >= ?)",
        (hands.now_ms, hands.now_ms, session, hands.settings.window // 4),
    )


def _note_epoch(hands: Hands, came: Decrypted, known: bytes | None) -> None:
    tx, contact, epoch = hands.tx, came.contact, came.payload.epoch
    if known is None:
        tx.execute("UPDATE contact SET their_epoch = ? WHERE id = ?", (epoch, contact))
        return
    retired = tx.execute(
        "SELECT at_ms FROM retired_epoch WHERE contact = ? AND epoch = ?", (contact, epoch)
    )
    if retired:
        if came.payload.sent_at > retired[0][0]:
            tx.execute(
                "UPDATE retired_epoch SET at_ms = ? WHERE contact = ? AND epoch = ?",
                (1 << 62, contact, epoch),
            )
            notice(tx, hands.keys.crypto, contact, "cloned-backup", "", hands.now_ms)
        return
    tx.execute("INSERT INTO retired_epoch VALUES (?, ?, ?)", (contact, known, came.payload.sent_at))
    tx.execute("UPDATE contact SET their_epoch = ? WHERE id = ?", (epoch, contact))
    tx.execute(
        "UPDATE session SET sends = 0 WHERE contact = ? AND id != ?", (contact, came.session)
    )
    encrypt_anew(hands, contact)


def accept_key(hands: Hands, contact: str) -> None:
    """The person accepts a contact's new identity key: sending goes on, held frames are read."""
    tx = hands.tx
    rows = tx.execute(
        "UPDATE contact SET identity = pending_identity, pending_identity = NULL, state = ?, "
        "verified = 0 WHERE id = ? AND pending_identity IS NOT NULL RETURNING inbox",
        (ContactState.ACTIVE.value, contact),
    )
    for (inbox,) in rows:
        waiting = tx.execute("SELECT DISTINCT session FROM held_frame WHERE inbox = ?", (inbox,))
        for (session,) in waiting:
            advance(hands, session)


def close_gaps(hands: Hands) -> list[tuple[str, Body]]:
    """Ask for frames that stay missing; give up gaps of sessions that nobody sends on.

    Returns (contact, body) of the requests to be queued.
    """
    tx, settings = hands.tx, hands.settings
    patience = int(settings.gap_patience * 1000)
    requests: list[tuple[str, Body]] = []
    rows = tx.execute(
        "SELECT id, contact, next_in, gap_ms, asked, sends FROM session "
        "WHERE gap_ms IS NOT NULL AND gap_ms + (? << asked) < ?",
        (patience, hands.now_ms),
    )
    for session, contact, next_in, _, asked, sends in rows:
        if asked >= 6 or (not sends and asked >= 2):
            advance(hands, session, past_gaps=True)
            continue
        first = tx.execute("SELECT min(sequence) FROM held_frame WHERE session = ?", (session,))[0][
            0
        ]
        requests.append(
            (
                contact,
                {
                    "type": "nack",
                    "session": to_text(session),
                    "start": next_in,
                    "stop": min(first, next_in + 1000),
                    "lost": asked >= 4,
                },
            )
        )
        tx.execute("UPDATE session SET asked = asked + 1 WHERE id = ?", (session,))
    return requests

"""What happens to messages that are there: reactions, edits, deletions, timers, having seen."""

from __future__ import annotations

from volok.chat import history
from volok.chat.contacts import must_exist
from volok.chat.content import MAX_TIMER
from volok.chat.history import change_text, erase_text, remove_message
from volok.chat.hooks import Hands
from volok.chat.messages import file_views
from volok.chat.records import journal, notice, put_out
from volok.chat.views import ChatError, FileView, MessageState
from volok.store.vault import Transaction

EMOJI_LIMIT = 64


def _whose(tx: Transaction, message: str) -> tuple[str, bool]:
    rows = tx.execute(
        "SELECT contact, mine FROM message WHERE id = ? AND notice IS NULL", (message,)
    )
    if not rows:
        raise ChatError("This message is not here any more.")
    return str(rows[0][0]), bool(rows[0][1])


def touch(tx: Transaction, message: str) -> None:
    """Let pages show a message anew."""
    contact, _ = _whose(tx, message)
    journal(tx, contact, message)


def _tell(hands: Hands, contact: str, kind: str, message: str, text: str) -> None:
    body = {"type": kind, "to": message, "text": text}
    put_out(hands.tx, contact, hands.keys.crypto.random(16), body, hands.now_ms)


def react(hands: Hands, message: str, emoji: str) -> None:
    """Set our reaction; empty removes it."""
    if len(emoji.encode(errors="replace")) > EMOJI_LIMIT:
        raise ChatError("A reaction is a single emoji.")
    contact, _ = _whose(hands.tx, message)
    history.react(hands.tx, message, emoji, hands.now_ms, mine=True)
    _tell(hands, contact, "reaction", message, emoji)
    journal(hands.tx, contact, message)


def edit(hands: Hands, message: str, text: str) -> None:
    """Replace the text of a message of ours."""
    if not text.strip():
        raise ChatError("An empty message cannot be sent. Delete it instead.")
    if len(text.encode(errors="replace")) > hands.settings.text_limit:
        raise ChatError("This text is too long.")
    contact, mine = _whose(hands.tx, message)
    if not mine or not change_text(hands.tx, contact, message, text, hands.now_ms, mine=True):
        raise ChatError("Only your own messages can be changed.")
    _tell(hands, contact, "edit", message, text)
    journal(hands.tx, contact, message)


def delete(hands: Hands, message: str, for_everyone: bool) -> None:
    """Delete a message for both (ours only), or here."""
    tx = hands.tx
    rows = tx.execute("SELECT contact, mine FROM message WHERE id = ?", (message,))
    if not rows:
        raise ChatError("This message is not here any more.")
    contact, mine = rows[0]
    if for_everyone:
        if not mine:
            raise ChatError("Only your own messages can be deleted for both.")
        hands.effects.gone_blobs += erase_text(tx, contact, message, mine=True)
        _tell(hands, contact, "delete", message, "")
    else:
        hands.effects.gone_blobs += remove_message(tx, message)
    journal(tx, contact, message)


def retry(hands: Hands, message: str) -> None:
    """Queue a failed message once more."""
    contact, _ = _whose(hands.tx, message)
    hands.tx.execute("UPDATE outbox SET sealed = 0 WHERE message = ?", (message,))
    hands.tx.execute(
        "UPDATE message SET state = ?, problem = NULL WHERE id = ? AND state = ?",
        (MessageState.QUEUED.value, message, MessageState.FAILED.value),
    )
    journal(hands.tx, contact, message)


def seen(hands: Hands, contact: str, upto: int | None) -> None:
    """What came in this conversation (up to a message's `order`) has been seen; timers start."""
    tx, now_ms = hands.tx, hands.now_ms
    rows = tx.execute(
        "UPDATE message SET state = ?, "
        "expires_ms = CASE WHEN timer > 0 THEN ? + timer * 1000 ELSE expires_ms END "
        "WHERE contact = ? AND state = ? AND number <= coalesce(?, number) RETURNING id",
        (MessageState.READ.value, now_ms, contact, MessageState.RECEIVED.value, upto),
    )
    if not rows:
        return
    tx.many("INSERT OR IGNORE INTO seen VALUES (?, ?)", [(message, contact) for (message,) in rows])
    tx.execute(
        "UPDATE contact SET ack_due_ms = coalesce(ack_due_ms, ?) WHERE id = ?",
        (now_ms + int(hands.settings.receipt_delay * 1000), contact),
    )
    for (message,) in rows:
        journal(tx, contact, message)
    journal(tx, contact)


def set_timer(hands: Hands, contact: str, seconds: int) -> None:
    """Change the disappearing timer of a conversation, for both."""
    if not 0 <= seconds <= MAX_TIMER:
        raise ChatError("A timer lasts between a second and a year.")
    tx = hands.tx
    must_exist(tx, contact)
    tx.execute("UPDATE contact SET timer = ? WHERE id = ?", (seconds, contact))
    body = {"type": "timer", "seconds": seconds}
    put_out(tx, contact, hands.keys.crypto.random(16), body, hands.now_ms)
    notice(tx, hands.keys.crypto, contact, "timer-changed", str(seconds), hands.now_ms)


def message_of_file(tx: Transaction, identifier: str) -> str:
    """The message that a file belongs to. Raises ChatError."""
    rows = tx.execute("SELECT message FROM file WHERE id = ?", (identifier,))
    if not rows:
        raise ChatError("This file is not here any more.")
    return str(rows[0][0])


def find_file(tx: Transaction, identifier: str) -> tuple[FileView, bytes | None, list[str], bool]:
    """A file's view, key, chunk names, and whether it can be opened once only."""
    message = message_of_file(tx, identifier)
    once, mine = tx.execute("SELECT once, mine FROM message WHERE id = ?", (message,))[0]
    view = next(v for v in file_views(tx, message, bool(mine)) if v.id == identifier)
    (key,) = tx.execute("SELECT key FROM file WHERE id = ?", (identifier,))[0]
    names = tx.execute("SELECT name FROM chunk WHERE file = ? ORDER BY place", (identifier,))
    return view, key, [str(name) for (name,) in names], bool(once)

"""Writing: messages, reactions, edits, deletions, timers, and having seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from volok.chat import history
from volok.chat.contacts import contact_relays
from volok.chat.content import MAX_FILES, MAX_TIMER, FileContent
from volok.chat.history import add_file, change_text, erase_text, index_text, remove_message
from volok.chat.hooks import Hands
from volok.chat.marks import takes_blobs
from volok.chat.messages import COLUMNS, file_views, fresh_view, identify
from volok.chat.payload import Body
from volok.chat.records import LAST_PLACE, journal, notice, put_out
from volok.chat.settings import ChatSettings
from volok.chat.views import ChatError, ContactState, FileView, Message, MessageState, Outgoing
from volok.store.deliveries import ItemKind
from volok.store.vault import Transaction
from volok.store.vault_deliveries import queue

EMOJI_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Draft:
    """A message about to be written."""

    contact: str
    text: str
    files: tuple[FileContent, ...]
    reply_to: str | None
    view_once: bool


def check(
    tx: Transaction, contact: str, text: str, files: Sequence[Outgoing], settings: ChatSettings
) -> tuple[int, int]:
    """Raise ChatError for a message that cannot be sent to this contact.

    Returns the counter of the last message sent to them, and the timer of the conversation.
    """
    state, sent, timer = _contact(tx, contact)
    if state == ContactState.BLOCKED.value:
        raise ChatError("You have blocked this contact. Unblock them to write.")
    if not text.strip() and not files:
        raise ChatError("There is nothing to send yet.")
    if len(text.encode(errors="replace")) > settings.text_limit:
        raise ChatError("This text is too long. Send it as a file instead.")
    if len(files) > MAX_FILES:
        raise ChatError(f"At most {MAX_FILES} files fit into one message.")
    if not files:
        return sent, timer
    limit = settings.file_limit
    if any(len(file.data) > limit for file in files):
        raise ChatError(f"A file can have at most {limit // (1024 * 1024)} MB.")
    if contact_relays(tx, contact) and not takes_blobs(tx, contact):
        limit = settings.framed_limit
        if any(len(file.data) > limit for file in files):
            raise ChatError(
                "No relay of this contact takes files of this size. Send it as a bundle, or ask "
                "them to add a relay that takes files."
            )
    return sent, timer


def _contact(tx: Transaction, contact: str) -> tuple[str, int, int]:
    rows = tx.execute("SELECT state, sent, timer FROM contact WHERE id = ?", (contact,))
    if not rows:
        raise ChatError("There is no such contact.")
    state, sent, timer = rows[0]
    return state, sent, timer


def send(
    hands: Hands, draft: Draft, files: Sequence[Outgoing], manifests: tuple[Body, ...]
) -> Message:
    """Check a message, write it, and give it as pages show it. Raises ChatError."""
    sent, timer = check(hands.tx, draft.contact, draft.text, files, hands.settings)
    return _write(hands, draft, manifests, sent, timer)


def send_to(hands: Hands, who: str, text: str) -> tuple[Message, str]:
    """Write a text to a contact given by id or name; returns their name, too. Raises ChatError."""
    contact, name = identify(hands.tx, who)
    return send(hands, Draft(contact, text, (), None, False), (), ()), name


def _write(
    hands: Hands, draft: Draft, manifests: tuple[Body, ...], sent: int, timer: int
) -> Message:
    tx, now_ms = hands.tx, hands.now_ms
    content = hands.keys.crypto.random(16)
    # Follows the clock, so that a node restored from an old backup does not count behind itself.
    identifier, counter = content.hex(), max(sent + 1, now_ms)
    body: Body = {"type": "text", "text": draft.text, "n": counter}
    if draft.reply_to is not None:
        body["reply"] = draft.reply_to
    if timer:
        body["timer"] = timer
    if draft.view_once:
        body["once"] = True
    if manifests:
        body["files"] = list(manifests)
    (row,) = tx.execute(
        "INSERT INTO message (id, contact, mine, text, sent_ms, sort_ms, counter, state, reply, "  # noqa: S608
        f"once, timer, expires_ms) VALUES (?, ?, 1, ?, ?, {LAST_PLACE}, ?, ?, ?, ?, ?, ?) "
        f"RETURNING {COLUMNS}",
        (
            identifier,
            draft.contact,
            draft.text,
            now_ms,
            now_ms,
            draft.contact,
            counter,
            MessageState.QUEUED.value,
            draft.reply_to,
            int(draft.view_once),
            timer,
            now_ms + timer * 1000 if timer else None,
        ),
    )
    index_text(tx, row[0], draft.text)
    if draft.files:
        _attach(hands, draft, identifier)
    tx.execute(
        "UPDATE contact SET sent = ?, latest_ms = ? WHERE id = ?", (counter, now_ms, draft.contact)
    )
    put_out(tx, draft.contact, content, body, now_ms, identifier)
    journal(tx, draft.contact, identifier)
    return fresh_view(tx, row, bool(draft.files))


def _attach(hands: Hands, draft: Draft, message: str) -> None:
    tx = hands.tx
    relays = contact_relays(tx, draft.contact)
    for place, file in enumerate(draft.files):
        add_file(tx, f"{message}{place:02x}", message, draft.contact, place, file, here=True)
        queue(tx, ItemKind.BLOB, [chunk.name for chunk in file.chunks], relays)
        hands.effects.queued = True


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
    _contact(tx, contact)
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

"""Changing what a conversation holds: texts, reactions and files, of either side."""

from __future__ import annotations

from collections.abc import Iterable

from volok.chat.content import FileContent
from volok.store.vault import Transaction
from volok.store.vault_deliveries import unqueue, unwant


def index_texts(tx: Transaction, texts: Iterable[tuple[int, str]]) -> None:
    """Make messages findable, each given as (number, text)."""
    rows = [(number, text) for number, text in texts if text]
    tx.many("INSERT INTO words (rowid, text) VALUES (?, ?)", rows)


def add_file(
    tx: Transaction,
    file_id: str,
    message: str,
    contact: str,
    place: int,
    file: FileContent,
    *,
    here: bool,
) -> None:
    """Record a file of a message and its chunks."""
    tx.execute(
        "INSERT INTO file (id, message, contact, place, kind, name, media_type, size, key, width, "
        "height, duration, thumbnail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            file_id,
            message,
            contact,
            place,
            file.kind,
            file.name,
            file.media_type,
            file.size,
            file.key,
            file.width,
            file.height,
            file.duration,
            file.thumbnail,
        ),
    )
    tx.many(
        "INSERT INTO chunk (file, place, name, size, here) VALUES (?, ?, ?, ?, ?)",
        [(file_id, i, c.name, c.size, int(here)) for i, c in enumerate(file.chunks)],
    )


def drop_files(tx: Transaction, message: str) -> list[str]:
    """Destroy the keys of a message's files; returns the blobs to erase."""
    names = [
        str(name)
        for (name,) in tx.execute(
            "SELECT c.name FROM chunk c JOIN file f ON f.id = c.file WHERE f.message = ?",
            (message,),
        )
    ]
    for name in names:
        unwant(tx, name)
        tx.execute("DELETE FROM piece WHERE name = ?", (name,))
    unqueue(tx, names)
    tx.execute(
        "DELETE FROM chunk WHERE file IN (SELECT id FROM file WHERE message = ?)", (message,)
    )
    tx.execute(
        "UPDATE file SET key = NULL, thumbnail = NULL, gone = 1 WHERE message = ?", (message,)
    )
    return names


def react(tx: Transaction, message: str, emoji: str, at_ms: int, *, mine: bool) -> None:
    """Set, change or (empty) remove one side's reaction; the latest one stands."""
    rows = tx.execute(
        "SELECT at_ms FROM reaction WHERE message = ? AND mine = ?", (message, int(mine))
    )
    if rows and rows[0][0] > at_ms:
        return
    if emoji:
        tx.execute(
            "INSERT OR REPLACE INTO reaction VALUES (?, ?, ?, ?)",
            (message, int(mine), emoji, at_ms),
        )
    else:
        tx.execute("DELETE FROM reaction WHERE message = ? AND mine = ?", (message, int(mine)))


def change_text(
    tx: Transaction, contact: str, message: str, text: str, at_ms: int, *, mine: bool
) -> bool:
    """Replace the text of a message of that side; the latest edit stands."""
    rows = tx.execute(
        "UPDATE message SET text = ?, edited_ms = ? WHERE id = ? AND contact = ? AND mine = ? "
        "AND notice IS NULL AND NOT deleted AND coalesce(edited_ms, 0) <= ? RETURNING number",
        (text, at_ms, message, contact, int(mine), at_ms),
    )
    for (number,) in rows:
        tx.execute("DELETE FROM words WHERE rowid = ?", (number,))
        index_texts(tx, [(number, text)])
    return bool(rows)


def erase_text(tx: Transaction, contact: str, message: str, *, mine: bool) -> list[str]:
    """Leave only the fact that there was a message; returns the blobs to erase."""
    rows = tx.execute(
        "UPDATE message SET text = '', deleted = 1, reply = NULL "
        "WHERE id = ? AND contact = ? AND mine = ? AND notice IS NULL RETURNING number",
        (message, contact, int(mine)),
    )
    if not rows:
        return []
    return _strip(tx, message, rows[0][0])


def remove_message(tx: Transaction, message: str) -> list[str]:
    """Remove a message with everything that hangs on it; returns the blobs to erase."""
    gone = []
    for (number,) in tx.execute("DELETE FROM message WHERE id = ? RETURNING number", (message,)):
        gone += _strip(tx, message, number)
    return gone


def _strip(tx: Transaction, message: str, number: int) -> list[str]:
    tx.execute("DELETE FROM words WHERE rowid = ?", (number,))
    tx.execute("DELETE FROM reaction WHERE message = ?", (message,))
    gone = drop_files(tx, message)
    tx.execute("DELETE FROM file WHERE message = ?", (message,))
    return gone

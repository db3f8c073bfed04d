"""Reading conversations out of the vault as views."""

from __future__ import annotations

import base64
import re

from volok.chat.views import (
    ChatError,
    Contact,
    ContactState,
    FileKind,
    FileState,
    FileView,
    Message,
    MessageState,
    Quote,
    ReactionView,
)
from volok.store.vault import Row, Transaction

QUOTE_LENGTH = 120

COLUMNS = (
    "number, id, contact, mine, text, sent_ms, state, problem, notice, reply, edited_ms, deleted, "
    "once, expires_ms"
)
"""Of the table `message`: what a view is made from."""


def _file(tx: Transaction, row: Row, mine: bool) -> FileView:
    identifier, kind, name, media_type, size, width, height, duration, thumbnail, gone = row
    total, here, taken = tx.execute(
        "SELECT count(*), coalesce(sum(here), 0), coalesce(sum(taken), 0) FROM chunk "
        "WHERE file = ?",
        (identifier,),
    )[0]
    if gone:
        state = FileState.GONE
    elif here == total:
        state = FileState.READY
    else:
        state = FileState.LOADING if here else FileState.WAITING
    done = taken if mine else here
    picture = None
    if thumbnail is not None:
        mime = "image/webp" if thumbnail[8:12] == b"WEBP" else "image/jpeg"
        picture = f"data:{mime};base64,{base64.b64encode(thumbnail).decode()}"
    return FileView(
        id=identifier,
        kind=FileKind(kind),
        name=name,
        media_type=media_type,
        size=size,
        state=state,
        progress=done / total if total else 1.0,
        width=width,
        height=height,
        duration=duration,
        thumbnail=picture,
    )


def file_views(tx: Transaction, message: str, mine: bool) -> tuple[FileView, ...]:
    """The files of a message."""
    rows = tx.execute(
        "SELECT id, kind, name, media_type, size, width, height, duration, thumbnail, gone "
        "FROM file WHERE message = ? ORDER BY place",
        (message,),
    )
    return tuple(_file(tx, row, mine) for row in rows)


def _message(tx: Transaction, row: Row) -> Message:
    identifier, mine = str(row[1]), bool(row[3])
    reactions = tx.execute(
        "SELECT emoji, mine FROM reaction WHERE message = ? ORDER BY mine", (identifier,)
    )
    views = tuple(ReactionView(emoji, bool(whose)) for emoji, whose in reactions)
    return _view(tx, row, views, file_views(tx, identifier, mine))


def fresh_view(tx: Transaction, row: Row, files: bool) -> Message:
    """A message that has just been written, without looking for what it cannot have."""
    return _view(tx, row, (), file_views(tx, str(row[1]), mine=True) if files else ())


def _view(
    tx: Transaction, row: Row, reactions: tuple[ReactionView, ...], files: tuple[FileView, ...]
) -> Message:
    (
        number,
        identifier,
        contact,
        mine,
        text,
        sent_ms,
        state,
        problem,
        notice,
        reply,
        edited_ms,
        deleted,
        once,
        expires_ms,
    ) = row
    quote = None
    if reply is not None:
        found = tx.execute("SELECT mine, text FROM message WHERE id = ?", (reply,))
        whose, words = found[0] if found else (0, "")
        quote = Quote(reply, bool(whose), words[:QUOTE_LENGTH])
    return Message(
        id=identifier,
        contact=contact,
        mine=bool(mine),
        text=text,
        sent_at=sent_ms,
        order=number,
        state=MessageState(state),
        problem=problem,
        notice=notice,
        edited=edited_ms is not None,
        deleted=bool(deleted),
        view_once=bool(once),
        expires_at=expires_ms,
        quote=quote,
        reactions=reactions,
        files=files,
    )


def page(tx: Transaction, contact: str, before: int | None, limit: int) -> list[Message]:
    """The latest messages (older than the one whose order is `before`), oldest first."""
    query = f"SELECT {COLUMNS} FROM message WHERE contact = ?"  # noqa: S608 (fixed names)
    parameters: list[str | int] = [contact]
    # The one with this number may be gone, or never have been in this conversation.
    bound = before is not None and tx.execute(
        "SELECT sort_ms, counter, number FROM message WHERE contact = ? AND number >= ? "
        "ORDER BY number LIMIT 1",
        (contact, before),
    )
    if bound:
        query += " AND (sort_ms, counter, number) < (?, ?, ?)"
        parameters += bound[0]
    query += " ORDER BY sort_ms DESC, counter DESC, number DESC LIMIT ?"
    rows = tx.execute(query, (*parameters, limit))
    return [_message(tx, row) for row in reversed(rows)]


def one(tx: Transaction, identifier: str) -> Message:
    """One message. Raises ChatError."""
    rows = tx.execute(f"SELECT {COLUMNS} FROM message WHERE id = ?", (identifier,))  # noqa: S608
    if not rows:
        raise ChatError("This message is not here any more.")
    return _message(tx, rows[0])


def search(tx: Transaction, words: str, limit: int) -> list[Message]:
    """Messages that have all these words, or words that begin so; newest first."""
    terms = re.findall(r"\w+", words)
    if not terms:
        return []
    match = " ".join(f'"{term}"*' for term in terms)
    columns = ", ".join("m." + column for column in COLUMNS.split(", "))
    rows = tx.execute(
        f"SELECT {columns} FROM words w JOIN message m ON m.number = w.rowid "  # noqa: S608
        "WHERE words MATCH ? ORDER BY m.sort_ms DESC LIMIT ?",
        (match, limit),
    )
    return [_message(tx, row) for row in rows]


_CONTACT = (
    "SELECT id, coalesce(given_name, name), state, verified, muted, pinned, timer, "
    "(SELECT count(*) FROM message m WHERE m.contact = c.id AND m.state = 'received'), "
    "(SELECT count(*) FROM outbox o WHERE o.contact = c.id AND o.type = 'text') "
    "FROM contact c "
)


def _contact(tx: Transaction, row: Row) -> Contact:
    identifier, name, state, verified, muted, pinned, timer, unread, waiting = row
    last = page(tx, identifier, None, 1)
    return Contact(
        id=identifier,
        name=name,
        state=ContactState(state),
        verified=bool(verified),
        muted=bool(muted),
        pinned=bool(pinned),
        unread=unread,
        timer=timer,
        last=last[0] if last else None,
        waiting=waiting,
    )


def contacts(tx: Transaction) -> list[Contact]:
    """Everybody: pinned first, then by the latest message."""
    rows = tx.execute(_CONTACT + "ORDER BY pinned DESC, latest_ms DESC, id")
    return [_contact(tx, row) for row in rows]


def contact(tx: Transaction, identifier: str) -> Contact:
    """One contact. Raises ChatError."""
    rows = tx.execute(_CONTACT + "WHERE id = ?", (identifier,))
    if not rows:
        raise ChatError("There is no such contact.")
    return _contact(tx, rows[0])


def find(tx: Transaction, who: str) -> Contact:
    """A contact by id or by name (exact, else the same but for case). Raises ChatError."""
    return contact(tx, identify(tx, who)[0])


def identify(tx: Transaction, who: str) -> tuple[str, str]:
    """Id and name of a contact given as for `find`; cheaper than that. Raises ChatError."""
    everybody = tx.execute("SELECT id, coalesce(given_name, name) FROM contact")
    names = [(str(identifier), str(name)) for identifier, name in everybody]
    for matches in (
        [one for one in names if one[0] == who],
        [one for one in names if one[1] == who],
        [one for one in names if one[1].casefold() == who.casefold()],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise ChatError("Several contacts have this name. Use the id that `contacts` shows.")
    raise ChatError("There is no contact of this name. `contacts` lists those you have.")

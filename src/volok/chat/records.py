"""Small steps over the vault that several parts of chat take: settings, journal, outbox rows."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from volok.chat.payload import Body, encode_body
from volok.model.crypto import Crypto
from volok.store.vault import Transaction, Value


@dataclass(frozen=True, slots=True)
class Keys:
    """What work on ratchets needs beside a transaction."""

    crypto: Crypto
    pickle_key: bytes
    """32 bytes; Olm states are encrypted under it inside the vault."""
    epoch: bytes
    """8 random bytes of this node, chosen at its creation or restoration."""


def to_text(data: bytes) -> str:
    """Bytes as they stand in bodies: base64 without padding, URL-safe."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_text(text: str) -> bytes:
    """The inverse of `to_text`. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def setting(tx: Transaction, name: str, default: Value = None) -> Value:
    """Read one named value."""
    rows = tx.execute("SELECT value FROM setting WHERE name = ?", (name,))
    return rows[0][0] if rows else default


def set_setting(tx: Transaction, name: str, value: Value) -> None:
    """Write one named value."""
    tx.execute("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", (name, value))


def journal(
    tx: Transaction, contact: str, message: str | None = None, *, new: bool = False
) -> None:
    """Note that a contact, or one of its messages, looks different now."""
    journal_all(tx, [(contact, message)], new=new)


def journal_all(
    tx: Transaction, changed: Iterable[tuple[str, str | None]], *, new: bool = False
) -> None:
    """Note that these, each given as (contact, message), look different now; None as the message
    means the contact itself."""
    tx.many(
        "INSERT INTO journal (kind, contact, message, new) VALUES (?, ?, ?, ?)",
        [
            ("contact" if message is None else "message", contact, message, int(new))
            for contact, message in changed
        ],
    )


@dataclass(frozen=True, slots=True)
class Posting:
    """One content for a contact."""

    contact: str
    content: bytes
    """Its id, 16 random bytes."""
    body: Body
    message: str | None = None
    """The message that it belongs to."""


def put_out(tx: Transaction, contact: str, content: bytes, body: Body, now_ms: int) -> None:
    """Queue one content for a contact. It stays until their receipt comes."""
    put_out_all(tx, [Posting(contact, content, body)], now_ms)


def put_out_all(tx: Transaction, postings: Iterable[Posting], now_ms: int) -> None:
    """Queue contents in this order. Each stays until the receipt for it comes."""
    tx.many(
        "INSERT INTO outbox (contact, content, type, body, sent_ms, message) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [
            (one.contact, one.content, one.body["type"], encode_body(one.body), now_ms, one.message)
            for one in postings
        ],
    )


LAST_PLACE = "max(?, (SELECT coalesce(max(sort_ms), 0) + 1 FROM message WHERE contact = ?))"
"""SQL: the `sort_ms` of a message that comes now, after all others, whatever the clock; its
parameters are the time in Unix milliseconds and the contact."""


def notice(
    tx: Transaction, crypto: Crypto, contact: str, kind: str, text: str, now_ms: int
) -> None:
    """Write a line of the program into a conversation."""
    identifier = crypto.random(16).hex()
    tx.execute(
        "INSERT INTO message (id, contact, mine, text, sent_ms, sort_ms, counter, state, notice) "  # noqa: S608
        f"VALUES (?, ?, 1, ?, ?, {LAST_PLACE}, 0, 'read', ?)",
        (identifier, contact, text, now_ms, now_ms, contact, kind),
    )
    tx.execute("UPDATE contact SET latest_ms = ? WHERE id = ?", (now_ms, contact))
    journal(tx, contact, identifier)

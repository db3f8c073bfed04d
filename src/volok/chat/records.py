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
    kind = "contact" if message is None else "message"
    tx.execute(
        "INSERT INTO journal (kind, contact, message, new) VALUES (?, ?, ?, ?)",
        (kind, contact, message, int(new)),
    )


def journal_all(tx: Transaction, messages: Iterable[tuple[str, str]]) -> None:
    """Note that these messages, each given as (contact, message), look different now."""
    tx.many(
        "INSERT INTO journal (kind, contact, message, new) VALUES ('message', ?, ?, 0)",
        list(messages),
    )


def put_out(
    tx: Transaction,
    contact: str,
    content: bytes,
    body: Body,
    now_ms: int,
    message: str | None = None,
) -> None:
    """Queue one content for a contact. It stays until their receipt comes."""
    tx.execute(
        "INSERT INTO outbox (contact, content, type, body, sent_ms, message) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (contact, content, body["type"], encode_body(body), now_ms, message),
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

"""What stands in the rows of a PostgresStore: hashes in place of names, events sealed."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple, Protocol

from volok.model.crypto import CryptoError
from volok.model.event import Event
from volok.model.search import is_searched, searched_text, words
from volok.model.supersession import address
from volok.store.key_file import KeyFile
from volok.store.postgres_schema import ends, rank, shelf
from volok.store.store import Entry, StoreError

_NONCE_BYTES = 12
_HASH_BYTES = 16


class Cipher(Protocol):
    """What seals (`volok.model.crypto.Crypto` has it)."""

    def random(self, count: int) -> bytes:
        """Random bytes."""

    def encrypt(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """ChaCha20-Poly1305 (RFC 8439)."""

    def decrypt(self, key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """The inverse of `encrypt`. Raises CryptoError."""


def seal(cipher: Cipher, key: bytes, plain: bytes) -> bytes:
    """A random nonce, and what it seals under this key of 32 bytes."""
    nonce = cipher.random(_NONCE_BYTES)
    return nonce + cipher.encrypt(key, nonce, plain, b"")


def unseal(cipher: Cipher, key: bytes, sealed: bytes) -> bytes:
    """The inverse of `seal`. Raises CryptoError."""
    return cipher.decrypt(key, sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], b"")


class EventRow(NamedTuple):
    """A row of `events`, in the order of its columns."""

    number: int
    name: bytes
    shelf: int
    ends: int
    created_at: int
    rank: int
    kind: int
    author: bytes
    place: bytes | None
    tokens: str | None
    """As PostgreSQL writes an array."""
    sealed: bytes


class TagRow(NamedTuple):
    """A row of `tags`, in the order of its columns."""

    key: bytes
    created_at: int
    rank: int
    shelf: int
    name: bytes


class Rows:
    """Makes rows of events and events of rows, with the keys of one store."""

    def __init__(self, keys: KeyFile, cipher: Cipher) -> None:
        self._keys = keys
        self._index = keys.secrets.index
        self._cipher = cipher

    def name(self, event_id: str) -> bytes:
        """What stands for an id."""
        return self._hash(b"id", event_id)

    def author(self, pubkey: str) -> bytes:
        """What stands for an author."""
        return self._hash(b"author", pubkey)

    def place(self, address: str) -> bytes:
        """What stands for an address (NIP-01)."""
        return self._hash(b"place", address)

    def tag(self, letter: str, value: str) -> bytes:
        """What stands for a tag."""
        return self._hash(b"tag", letter + value)

    def mark(self, event_id: str, deleter: str) -> bytes:
        """What stands for a deletion of an id by a key."""
        return self._hash(b"mark", event_id + deleter)

    def search_tokens(self, query: str) -> list[int]:
        """What the row of an event holds if the event is found by this query
        (`volok.model.search.parse_query`); it may hold them without being found."""
        return self._tokens(word[: 4 if len(word) >= 4 else 2] for word in query.split())

    def tokens(self, event: Event) -> list[int] | None:
        """What the row of an event holds for how its words begin; None when it is not searched."""
        return self._tokens(words(searched_text(event))) if is_searched(event.kind) else None

    def tag_rows(self, event: Event) -> list[TagRow]:
        """The rows for all single-letter tags of an event (NIP-01)."""
        keys = {
            self.tag(tag[0], tag[1])
            for tag in event.tags
            if len(tag) > 1 and len(tag[0]) == 1 and tag[0].isascii() and tag[0].isalpha()
        }
        name, order, place = self.name(event.id), rank(event), shelf(event)
        return [TagRow(key, event.created_at, order, place, name) for key in keys]

    def event_row(self, number: int, event: Event) -> EventRow:
        """The row of an event. Raises StoreError when the key of the number is gone."""
        place = address(event)
        return EventRow(
            number,
            self.name(event.id),
            shelf(event),
            ends(event),
            event.created_at,
            rank(event),
            event.kind,
            self.author(event.pubkey),
            None if place is None else self.place(place),
            None if (tokens := self.tokens(event)) is None else _array(tokens),
            self._seal(number, event.to_json()),
        )

    def can_seal(self, number: int) -> bool:
        """Whether the key of this number is still there."""
        return self._keys.tree.key(number) is not None

    def entry(self, number: int, sealed: bytes) -> Entry | None:
        """The entry of a row; None when its key has been erased. Raises StoreError when the row is
        damaged."""
        key = self._keys.tree.key(number)
        if key is None:
            return None
        try:
            return Entry(number, unseal(self._cipher, key, sealed))
        except CryptoError as error:
            raise StoreError from error

    def _seal(self, number: int, raw: bytes) -> bytes:
        key = self._keys.tree.key(number)
        if key is None:
            raise StoreError
        # A number whose transaction was rolled back is given out again, and so is its key: the
        # nonce has to be another.
        return seal(self._cipher, key, raw)

    def _tokens(self, text: Iterable[str]) -> list[int]:
        starts = {word[:length] for word in text for length in (2, 4) if len(word) >= length}
        return [
            int.from_bytes(self._hash(b"word", start)[:8], "big", signed=True) for start in starts
        ]

    def _hash(self, kind: bytes, value: str) -> bytes:
        return blake2b(
            value.encode(), key=self._index, digest_size=_HASH_BYTES, person=kind
        ).digest()


def _array(numbers: list[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"

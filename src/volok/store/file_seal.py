"""How blobs and records lie on a disk that is to say nothing: sealed under a key that is not there.

1. A blob has a key of its own, derived from the folder's and from a random salt at the head of its
   file. The name of the file is a keyed hash, since the hash of known bytes is known.
2. The content is sealed in pieces of 64 KiB (ChaCha20-Poly1305), each under its number; the last
   one says that it is. So any part can be read, and nothing can be cut off or moved.
3. To erase the head of a file is to erase the file: without the salt there is no key.

    "volokB1\\n" · salt (32) · sealed name (48) · sealed pieces (65,552 each, the last one less)

What stays visible is how many blobs there are, how large they are and when they came.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from volok.model.crypto import Crypto, CryptoError, hkdf
from volok.store.blobs import BlobError

PIECE = 65_536
"""Bytes of a blob that are sealed together."""
HEAD = 8 + 32 + 48
"""Bytes at the head of a file."""
TAG = 16
"""Bytes by which a sealed piece is longer."""
NONCE = 12

_MAGIC = b"volokB1\n"
_SEALED = PIECE + TAG
_NAME_NONCE = b"\xff" * NONCE
_MORE, _LAST = b"\0", b"\1"


@dataclass(frozen=True, slots=True)
class FileSeal:
    """The key of a folder and what derives from it."""

    crypto: Crypto
    key: bytes = field(repr=False)
    """32 bytes, used for nothing else."""

    def file_name(self, name: str) -> str:
        """What the file of a blob is called: 64 hexadecimal characters."""
        key = hkdf(self.key, b"volok blob names v1")
        return hmac.digest(key, name.encode(), "sha256").hex()

    def fresh(self) -> BlobSeal:
        """The seal of a new file."""
        return self._of(self.crypto.random(32))

    def read_head(self, head: bytes) -> tuple[BlobSeal, str]:
        """The seal of a file and the hash of its blob, from its first HEAD bytes. Raises BlobError
        when this is no file of this folder."""
        if len(head) != HEAD or not head.startswith(_MAGIC):
            raise BlobError
        seal = self._of(head[8:40])
        return seal, seal.open_name(head[40:])

    def seal_record(self, plain: bytes, purpose: bytes) -> bytes:
        """Seal some bytes; the result is NONCE + TAG longer. Different purposes never mix."""
        nonce = self.crypto.random(NONCE)
        return nonce + self.crypto.encrypt(self._record_key(purpose), nonce, plain, b"")

    def open_record(self, sealed: bytes, purpose: bytes) -> bytes:
        """The inverse of `seal_record`. Raises BlobError."""
        nonce, rest = sealed[:NONCE], sealed[NONCE:]
        try:
            return self.crypto.decrypt(self._record_key(purpose), nonce, rest, b"")
        except (CryptoError, ValueError) as error:
            raise BlobError from error

    def _record_key(self, purpose: bytes) -> bytes:
        return hkdf(self.key, b"volok record v1 " + purpose)

    def _of(self, salt: bytes) -> BlobSeal:
        return BlobSeal(self.crypto, salt, hkdf(self.key, b"volok blob v1" + salt))


@dataclass(frozen=True, slots=True)
class BlobSeal:
    """The key of one file."""

    crypto: Crypto
    salt: bytes
    key: bytes = field(repr=False)

    def head(self, name: str) -> bytes:
        """The first bytes of the file, for the blob of this hash."""
        sealed = self.crypto.encrypt(self.key, _NAME_NONCE, bytes.fromhex(name), self.salt)
        return _MAGIC + self.salt + sealed

    def open_name(self, sealed: bytes) -> str:
        """The hash of the blob. Raises BlobError."""
        try:
            return self.crypto.decrypt(self.key, _NAME_NONCE, sealed, self.salt).hex()
        except CryptoError as error:
            raise BlobError from error

    def seal(self, index: int, plain: bytes, last: bool) -> bytes:
        """Seal the piece of this number, of PIECE bytes unless it is the last."""
        return self.crypto.encrypt(self.key, _nonce(index), plain, _LAST if last else _MORE)

    def open(self, index: int, sealed: bytes, last: bool) -> bytes:
        """The inverse of `seal`. Raises BlobError."""
        try:
            return self.crypto.decrypt(self.key, _nonce(index), sealed, _LAST if last else _MORE)
        except (CryptoError, ValueError) as error:
            raise BlobError from error


def plain_size(file_size: int) -> int:
    """The size of the blob in a file of this size. Raises BlobError when no file has it."""
    pieces, rest = divmod(file_size - HEAD, _SEALED)
    if file_size < HEAD or 0 < rest <= TAG:
        raise BlobError
    return pieces * PIECE + max(0, rest - TAG)


def place_of(index: int) -> int:
    """Where the sealed piece of this number begins in the file."""
    return HEAD + index * _SEALED


def is_last(index: int, size: int) -> bool:
    """Whether this is the last piece of a blob of `size` bytes."""
    return (index + 1) * PIECE >= size


def _nonce(index: int) -> bytes:
    return index.to_bytes(NONCE, "big")

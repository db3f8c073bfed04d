"""The one typed interface through which Volok reaches cryptography.

Everything here takes and gives bytes, so that a provider may be native libraries on a computer
(`volok.native`) or JavaScript ones in a browser. HPKE is awaited, because browsers offer public-key
operations only as promises; what runs inside a ratchet transaction is not.

No cipher, ratchet or KEM is implemented in this project.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Protocol

SEALING_PUBLIC_BYTES = 1216
"""Length of a public sealing key: ML-KEM-768 (1,184) followed by X25519 (32)."""

SEALING_SECRET_BYTES = 96
"""Length of a secret sealing key: ML-KEM-768 seed (64) followed by X25519 (32)."""

HPKE_OVERHEAD = 1136
"""Bytes that HPKE adds to a plaintext: encapsulated key (1,120) and tag (16)."""

OLM_PRE_KEY = 0
OLM_NORMAL = 1
"""First byte of an encoded Olm message; the Olm message itself follows."""


class CryptoError(Exception):
    """The data could not be opened: it was altered, or it is for somebody else."""


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key pair of HPKE (RFC 9180) with KEM ML-KEM-768 + X25519."""

    secret: bytes
    public: bytes


class OlmSession(Protocol):
    """One Olm double-ratchet session. Its state changes with every call of encrypt and decrypt."""

    @property
    def id(self) -> bytes:
        """32 bytes, the same on both sides."""

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return an encoded Olm message: its type (OLM_PRE_KEY or OLM_NORMAL), then its bytes."""

    def decrypt(self, message: bytes) -> bytes:
        """Open an encoded Olm message. Raises CryptoError and leaves the state as it was."""

    def pickle(self, key: bytes) -> bytes:
        """Return the state, encrypted under a 32-byte key."""


class OlmAccount(Protocol):
    """One Olm account: an identity key, its one-time keys and its fallback keys."""

    @property
    def identity_key(self) -> bytes:
        """32 bytes, Curve25519."""

    def new_one_time_key(self) -> bytes:
        """Make one more one-time key and return its 32 public bytes."""

    def new_fallback_key(self) -> bytes:
        """Make a new fallback key and return its 32 public bytes. The last two stay usable."""

    def outbound(self, identity_key: bytes, one_time_key: bytes) -> OlmSession:
        """Start a session with whoever owns these two 32-byte keys. Raises CryptoError."""

    def inbound(self, identity_key: bytes, message: bytes) -> tuple[OlmSession, bytes]:
        """Take up the session that a pre-key message starts; return it and the plaintext.

        A one-time key is used up by this. Raises CryptoError when the message is not for this
        account, was not made by the owner of `identity_key`, or its one-time key is gone.
        """

    def pickle(self, key: bytes) -> bytes:
        """Return the state, encrypted under a 32-byte key."""


class Verifier(Protocol):
    """The part of the provider that a relay needs."""

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Check a BIP-340 signature (64 bytes) over a 32-byte message by an x-only key (32 bytes).

        Never raises: what is malformed is not valid.
        """


class Signer(Verifier, Protocol):
    """The part of the provider that makes and checks signatures."""

    def random(self, count: int) -> bytes:
        """Return `count` bytes from the operating system's generator."""

    def public_key(self, secret_key: bytes) -> bytes:
        """Return the x-only public key (32 bytes) of a secp256k1 secret key. Raises CryptoError."""

    def sign(self, secret_key: bytes, message: bytes) -> bytes:
        """Return the BIP-340 signature (64 bytes) over a 32-byte message. Raises CryptoError."""


class Crypto(Signer, Protocol):
    """Everything that a node needs."""

    def sealing_key(self) -> SealingKey:
        """Make a fresh sealing key pair."""

    async def seal(self, public_key: bytes, info: bytes, plaintext: bytes) -> bytes:
        """HPKE base mode, single shot: encapsulated key followed by ciphertext.

        The result is HPKE_OVERHEAD bytes longer than the plaintext. Raises CryptoError when
        `public_key` is not a sealing key.
        """

    async def open(self, secret_key: bytes, info: bytes, sealed: bytes) -> bytes:
        """Open what `seal` made for this key and this info. Raises CryptoError."""

    def encrypt(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """ChaCha20-Poly1305 (RFC 8439): 32-byte key, 12-byte nonce; the result is 16 longer."""

    def decrypt(self, key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        """The inverse of `encrypt`. Raises CryptoError."""

    def new_account(self) -> OlmAccount:
        """Make a fresh Olm account."""

    def load_account(self, pickle: bytes, key: bytes) -> OlmAccount:
        """Load what `OlmAccount.pickle` gave. Raises CryptoError."""

    def load_session(self, pickle: bytes, key: bytes) -> OlmSession:
        """Load what `OlmSession.pickle` gave. Raises CryptoError."""

    def session_of(self, message: bytes) -> bytes | None:
        """The id of the session that an encoded pre-key message starts.

        None for a normal message. Raises CryptoError for what is no Olm message.
        """


def hkdf(secret: bytes, info: bytes, length: int = 32) -> bytes:
    """HKDF-SHA256 (RFC 5869) without salt, by the standard library's HMAC.

    `length` is at most 8,160 bytes.
    """
    pseudorandom = hmac.digest(bytes(32), secret, "sha256")
    output, block, counter = b"", b"", 0
    while len(output) < length:
        counter += 1
        block = hmac.digest(pseudorandom, block + info + bytes([counter]), "sha256")
        output += block
    return output[:length]

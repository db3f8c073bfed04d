"""Key pairs of secp256k1, by which events are signed (NIP-01, BIP-340)."""

from __future__ import annotations

from dataclasses import dataclass, field

from volok.model.crypto import CryptoError, Signer
from volok.model.event import is_hex32


class InvalidKey(ValueError):
    """This is not a secret key."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A secret key and what everybody may know of it. Only the public half shows in its repr."""

    secret: bytes = field(repr=False)
    """32 bytes."""
    public: str
    """The x-only public key, 64 lower-case hexadecimal characters, as `Event.pubkey`."""

    @property
    def secret_hex(self) -> str:
        """The secret key in lower-case hexadecimal."""
        return self.secret.hex()

    @classmethod
    def generate(cls, signer: Signer) -> KeyPair:
        """Make a fresh key pair."""
        return cls.from_secret(signer, signer.random(32))

    @classmethod
    def from_secret(cls, signer: Signer, secret: bytes) -> KeyPair:
        """The key pair of a secret key of 32 bytes. Raises InvalidKey."""
        try:
            return cls(secret, signer.public_key(secret).hex())
        except CryptoError as error:
            raise InvalidKey("This is not a secret key.") from error

    @classmethod
    def from_hex(cls, signer: Signer, text: str) -> KeyPair:
        """The key pair of a secret key in lower-case hexadecimal. Raises InvalidKey."""
        if not is_hex32(text):
            raise InvalidKey("A secret key is 64 lower-case hexadecimal characters.")
        return cls.from_secret(signer, bytes.fromhex(text))

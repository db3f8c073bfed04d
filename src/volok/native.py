"""The native provider of `volok.model.crypto.Crypto`, and the only door to native cryptography.

BIP-340 from libsecp256k1 (coincurve), HPKE and ChaCha20-Poly1305 from `cryptography`, Olm from
vodozemac. Only `volok.app` imports this module and hands an instance to the rest.
"""

from __future__ import annotations

import base64
import os
import threading
from functools import lru_cache

import coincurve
import vodozemac
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from volok.model.crypto import (
    OLM_NORMAL,
    OLM_PRE_KEY,
    SEALING_PUBLIC_BYTES,
    SEALING_SECRET_BYTES,
    Crypto,
    CryptoError,
    OlmAccount,
    OlmSession,
    SealingKey,
)

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_MLKEM_PUBLIC = SEALING_PUBLIC_BYTES - 32
_MLKEM_SEED = SEALING_SECRET_BYTES - 32
_POOL = 4096
"""Bytes read from the operating system's generator at once."""
_SECRETS = 64
"""Loaded secret sealing keys that one instance keeps."""


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


@lru_cache(maxsize=2048)
def _author(raw: bytes) -> coincurve.PublicKeyXOnly:
    """Most authors write more than once; to load a key takes an eighth of a verification."""
    return coincurve.PublicKeyXOnly(raw)


@lru_cache(maxsize=256)
def _sealing_public(raw: bytes) -> MLKEM768X25519PublicKey:
    if len(raw) != SEALING_PUBLIC_BYTES:
        raise CryptoError("A sealing key of the wrong length.")
    try:
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC]),
            X25519PublicKey.from_public_bytes(raw[_MLKEM_PUBLIC:]),
        )
    except ValueError as error:
        raise CryptoError("Not a sealing key.") from error


def _sealing_secret(raw: bytes) -> MLKEM768X25519PrivateKey:
    if len(raw) != SEALING_SECRET_BYTES:
        raise CryptoError("A sealing key of the wrong length.")
    return MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(raw[:_MLKEM_SEED]),
        X25519PrivateKey.from_private_bytes(raw[_MLKEM_SEED:]),
    )


def _secret(raw: bytes) -> bytes:
    if len(raw) != 32:  # coincurve would fill up a shorter one
        raise CryptoError("A secret key of the wrong length.")
    return raw


def _olm_message(message: bytes) -> vodozemac.AnyOlmMessage:
    if not message or message[0] not in (OLM_PRE_KEY, OLM_NORMAL):
        raise CryptoError("Not an Olm message.")
    try:
        return vodozemac.AnyOlmMessage.from_parts(message[0], message[1:])
    except ValueError as error:
        raise CryptoError("Not an Olm message.") from error


def _signing_key(raw: bytes) -> coincurve.PrivateKey:
    try:
        return coincurve.PrivateKey(_secret(raw))
    except ValueError as error:
        raise CryptoError("Not a secret key.") from error


class _Session:
    def __init__(self, session: vodozemac.Session) -> None:
        self._session = session
        self.id = _unpadded(session.session_id)

    def encrypt(self, plaintext: bytes) -> bytes:
        kind, ciphertext = self._session.encrypt(plaintext).to_parts()
        return bytes([kind]) + ciphertext

    def decrypt(self, message: bytes) -> bytes:
        try:
            return bytes(self._session.decrypt(_olm_message(message)))
        except ValueError as error:
            raise CryptoError("This message does not decrypt.") from error

    def pickle(self, key: bytes) -> bytes:
        return self._session.pickle(key).encode()


class _Account:
    def __init__(self, account: vodozemac.Account) -> None:
        self._account = account
        self.identity_key = account.curve25519_key.to_bytes()

    def new_one_time_key(self) -> bytes:
        self._account.generate_one_time_keys(1)
        (key,) = self._account.one_time_keys.values()
        self._account.mark_keys_as_published()
        return key.to_bytes()

    def new_fallback_key(self) -> bytes:
        self._account.generate_fallback_key()  # type: ignore[attr-defined]
        (key,) = self._account.fallback_key.values()  # type: ignore[attr-defined]
        self._account.mark_keys_as_published()
        return bytes(key.to_bytes())

    def outbound(self, identity_key: bytes, one_time_key: bytes) -> OlmSession:
        try:
            return _Session(
                self._account.create_outbound_session(
                    vodozemac.Curve25519PublicKey.from_bytes(identity_key),
                    vodozemac.Curve25519PublicKey.from_bytes(one_time_key),
                )
            )
        except ValueError as error:
            raise CryptoError("These keys start no session.") from error

    def inbound(self, identity_key: bytes, message: bytes) -> tuple[OlmSession, bytes]:
        pre_key = _olm_message(message).to_pre_key()
        if pre_key is None:
            raise CryptoError("Not the first message of a session.")
        try:
            session, plaintext = self._account.create_inbound_session(
                vodozemac.Curve25519PublicKey.from_bytes(identity_key), pre_key
            )
        except ValueError as error:
            raise CryptoError("This first message is not for us.") from error
        return _Session(session), bytes(plaintext)

    def pickle(self, key: bytes) -> bytes:
        return self._account.pickle(key).encode()


class _Entropy:
    """Bytes of the operating system's generator, read 4 KiB at a time, each handed out once.

    A read lets go of the interpreter; getting it back in a busy process takes longer than a
    signature.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._pool, self._at = b"", 0

    def take(self, count: int) -> bytes:
        """Return `count` bytes."""
        if count > _POOL // 8:
            return os.urandom(count)
        with self._lock:
            if self._at + count > len(self._pool):
                self._pool, self._at = os.urandom(_POOL), 0
            self._at += count
            return self._pool[self._at - count : self._at]


_ENTROPY = _Entropy()


class NativeCrypto(Crypto):
    """`Crypto` by native libraries. Safe to share between threads.

    Keeps the loaded form of the last few secret sealing keys and of the last signing key, which
    takes longer to make than to use: whoever opens a vault makes an instance for it and lets go of
    both together.
    """

    def __init__(self) -> None:
        self._sealing_secret = lru_cache(maxsize=_SECRETS)(_sealing_secret)
        self._signing_key = lru_cache(maxsize=1)(_signing_key)

    def random(self, count: int) -> bytes:
        return _ENTROPY.take(count)

    def public_key(self, secret_key: bytes) -> bytes:
        return self._signing_key(secret_key).public_key.format()[1:]

    def sign(self, secret_key: bytes, message: bytes) -> bytes:
        try:
            return self._signing_key(secret_key).sign_schnorr(message, _ENTROPY.take(32))
        except ValueError as error:
            raise CryptoError("Not a 32-byte message.") from error

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        try:
            return bool(_author(public_key).verify(signature, message))
        except ValueError:
            return False

    def sealing_key(self) -> SealingKey:
        mlkem, x25519 = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
        return SealingKey(
            secret=mlkem.private_bytes_raw() + x25519.private_bytes_raw(),
            public=mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw(),
        )

    async def seal(self, public_key: bytes, info: bytes, plaintext: bytes) -> bytes:
        key = _sealing_public(public_key)
        try:
            return _SUITE.encrypt(plaintext, key, info)
        except ValueError as error:  # a point of low order, which somebody chose on purpose
            raise CryptoError("Not a sealing key.") from error

    async def open(self, secret_key: bytes, info: bytes, sealed: bytes) -> bytes:
        try:
            return _SUITE.decrypt(sealed, self._sealing_secret(secret_key), info)
        except (InvalidTag, ValueError) as error:
            raise CryptoError("This was not sealed for us.") from error

    def encrypt(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        return ChaCha20Poly1305(key).encrypt(nonce, plaintext, associated)

    def decrypt(self, key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
        try:
            return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, associated)
        except (InvalidTag, ValueError) as error:
            raise CryptoError("This was altered, or the key is another one.") from error

    def new_account(self) -> OlmAccount:
        return _Account(vodozemac.Account())

    def load_account(self, pickle: bytes, key: bytes) -> OlmAccount:
        try:
            return _Account(vodozemac.Account.from_pickle(pickle.decode(), key))
        except ValueError as error:
            raise CryptoError("An account that does not load.") from error

    def load_session(self, pickle: bytes, key: bytes) -> OlmSession:
        try:
            return _Session(vodozemac.Session.from_pickle(pickle.decode(), key))
        except ValueError as error:
            raise CryptoError("A session that does not load.") from error

    def session_of(self, message: bytes) -> bytes | None:
        pre_key = _olm_message(message).to_pre_key()
        return None if pre_key is None else _unpadded(pre_key.session_id())

"""The native provider: published vectors, frozen fixtures, and that only CryptoError comes out."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.crypto import (
    HPKE_OVERHEAD,
    OLM_NORMAL,
    OLM_PRE_KEY,
    SEALING_PUBLIC_BYTES,
    SEALING_SECRET_BYTES,
    CryptoError,
    OlmAccount,
    OlmSession,
    hkdf,
)
from volok.native import NativeCrypto

VECTORS = Path(__file__).parent / "vectors"
CRYPTO = NativeCrypto()
KEY = bytes(range(32))

with (VECTORS / "bip340.csv").open() as _file:
    BIP340 = list(csv.DictReader(_file))
HPKE: dict[str, Any] = json.loads((VECTORS / "hpke.json").read_text())
OLM: dict[str, str] = json.loads((VECTORS / "olm.json").read_text())


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


# BIP-340


@pytest.mark.parametrize("row", BIP340, ids=lambda row: row["index"])
def test_bip340_vector(row: dict[str, str]) -> None:
    public, message, signature = (
        bytes.fromhex(row[name]) for name in ("public key", "message", "signature")
    )
    assert CRYPTO.verify(public, message, signature) is (row["verification result"] == "TRUE")
    if row["secret key"] and len(message) == 32:
        secret = bytes.fromhex(row["secret key"])
        assert CRYPTO.public_key(secret) == public
        assert CRYPTO.verify(public, message, CRYPTO.sign(secret, message))


def test_all_bip340_vectors_are_there() -> None:
    assert [row["index"] for row in BIP340] == [str(n) for n in range(19)]
    assert {row["verification result"] for row in BIP340} == {"TRUE", "FALSE"}


@given(st.binary(max_size=70), st.binary(max_size=70), st.binary(max_size=70))
def test_verify_never_raises(public: bytes, message: bytes, signature: bytes) -> None:
    assert CRYPTO.verify(public, message, signature) is False


@pytest.mark.parametrize(
    "secret", [b"", b"\x01", bytes(32), bytes(31), b"\x01" * 31, b"\x01" * 33, b"\xff" * 32]
)
def test_what_is_no_secret_key(secret: bytes) -> None:
    with pytest.raises(CryptoError):
        CRYPTO.public_key(secret)
    with pytest.raises(CryptoError):
        CRYPTO.sign(secret, bytes(32))


def test_only_32_byte_messages_are_signed() -> None:
    with pytest.raises(CryptoError):
        CRYPTO.sign(KEY, b"short")


# HPKE


async def test_hpke_round_trip() -> None:
    key = CRYPTO.sealing_key()
    assert (len(key.public), len(key.secret)) == (SEALING_PUBLIC_BYTES, SEALING_SECRET_BYTES)
    sealed = await CRYPTO.seal(key.public, b"info", b"plaintext")
    assert len(sealed) == len(b"plaintext") + HPKE_OVERHEAD
    assert await CRYPTO.open(key.secret, b"info", sealed) == b"plaintext"
    assert await CRYPTO.seal(key.public, b"info", b"plaintext") != sealed


async def test_hpke_opens_for_nobody_else_and_nothing_else() -> None:
    key, other = CRYPTO.sealing_key(), CRYPTO.sealing_key()
    sealed = await CRYPTO.seal(key.public, b"info", b"plaintext")
    with pytest.raises(CryptoError):
        await CRYPTO.open(other.secret, b"info", sealed)
    with pytest.raises(CryptoError):
        await CRYPTO.open(key.secret, b"inf0", sealed)
    # The ML-KEM part, the X25519 part, the ciphertext and the tag.
    for place in (0, 500, 1087, 1088, 1119, 1120, len(sealed) - 1):
        with pytest.raises(CryptoError):
            await CRYPTO.open(key.secret, b"info", flipped(sealed, place))
    for length in (0, 1, 1119, HPKE_OVERHEAD - 1, len(sealed) - 1):
        with pytest.raises(CryptoError):
            await CRYPTO.open(key.secret, b"info", sealed[:length])


async def test_hpke_refuses_wrong_keys() -> None:
    key = CRYPTO.sealing_key()
    low_order = key.public[:-32] + bytes(32)
    for public in (b"", key.public[:-1], key.public + b"\0", b"\xff" * 1216, low_order):
        with pytest.raises(CryptoError):
            await CRYPTO.seal(public, b"info", b"plaintext")
    for secret in (b"", key.secret[:-1], key.secret + b"\0"):
        with pytest.raises(CryptoError):
            await CRYPTO.open(secret, b"info", bytes(HPKE_OVERHEAD))


@pytest.mark.parametrize("case", HPKE["cases"], ids=lambda case: f"{len(case['plaintext'])}")
async def test_hpke_opens_what_was_sealed_long_ago(case: dict[str, str]) -> None:
    info, plaintext, sealed = (bytes.fromhex(case[n]) for n in ("info", "plaintext", "sealed"))
    assert await CRYPTO.open(bytes.fromhex(HPKE["secret"]), info, sealed) == plaintext
    again = await CRYPTO.seal(bytes.fromhex(HPKE["public"]), info, plaintext)
    assert await CRYPTO.open(bytes.fromhex(HPKE["secret"]), info, again) == plaintext


# ChaCha20-Poly1305 and HKDF


def test_aead_rfc8439_vector() -> None:
    # RFC 8439, section 2.8.2.
    plaintext = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
        b"future, sunscreen would be it."
    )
    key, nonce = bytes(range(0x80, 0xA0)), bytes.fromhex("070000004041424344454647")
    associated = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    sealed = CRYPTO.encrypt(key, nonce, plaintext, associated)
    assert sealed[:8].hex() == "d31a8d34648e60db"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"
    assert CRYPTO.decrypt(key, nonce, sealed, associated) == plaintext
    for wrong in (flipped(sealed, 0), sealed[:-1], b""):
        with pytest.raises(CryptoError):
            CRYPTO.decrypt(key, nonce, wrong, associated)
    with pytest.raises(CryptoError):
        CRYPTO.decrypt(key, nonce, sealed, b"another")
    with pytest.raises(CryptoError):
        CRYPTO.decrypt(b"short", nonce, sealed, associated)


def test_hkdf_rfc5869_vector() -> None:
    # RFC 5869, test case 3: no salt, no info.
    output = hkdf(b"\x0b" * 22, b"", 42)
    assert output.hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


# Olm


def session_pair() -> tuple[OlmAccount, OlmAccount, OlmSession, OlmSession]:
    """Two accounts and a session between them in which both sides have spoken."""
    alice, bob = CRYPTO.new_account(), CRYPTO.new_account()
    outbound = alice.outbound(bob.identity_key, bob.new_one_time_key())
    inbound, plaintext = bob.inbound(alice.identity_key, outbound.encrypt(b"hello"))
    assert plaintext == b"hello"
    assert outbound.decrypt(inbound.encrypt(b"hi")) == b"hi"
    return alice, bob, outbound, inbound


def test_olm_session_starts_by_a_one_time_key_once() -> None:
    alice, bob = CRYPTO.new_account(), CRYPTO.new_account()
    outbound = alice.outbound(bob.identity_key, bob.new_one_time_key())
    first = outbound.encrypt(b"hello")
    assert first[0] == OLM_PRE_KEY
    assert CRYPTO.session_of(first) == outbound.id
    assert len(outbound.id) == len(bob.identity_key) == 32
    inbound, plaintext = bob.inbound(alice.identity_key, first)
    assert (plaintext, inbound.id) == (b"hello", outbound.id)
    with pytest.raises(CryptoError):
        bob.inbound(alice.identity_key, first)


def test_olm_fallback_key_starts_several_sessions() -> None:
    bob = CRYPTO.new_account()
    fallback = bob.new_fallback_key()
    for text in (b"one", b"two"):
        alice = CRYPTO.new_account()
        first = alice.outbound(bob.identity_key, fallback).encrypt(text)
        assert bob.inbound(alice.identity_key, first)[1] == text


def test_olm_first_message_must_be_by_the_named_sender() -> None:
    alice, bob, eve = (CRYPTO.new_account() for _ in range(3))
    first = alice.outbound(bob.identity_key, bob.new_one_time_key()).encrypt(b"hello")
    with pytest.raises(CryptoError):
        bob.inbound(eve.identity_key, first)
    assert bob.inbound(alice.identity_key, first)[1] == b"hello"


def test_olm_messages_decrypt_once_and_in_any_order() -> None:
    _, _, outbound, inbound = session_pair()
    messages = [outbound.encrypt(b"%d" % number) for number in range(5)]
    assert {message[0] for message in messages} == {OLM_NORMAL}
    assert CRYPTO.session_of(messages[0]) is None
    for number in (3, 0, 4, 1, 2):
        assert inbound.decrypt(messages[number]) == b"%d" % number
    with pytest.raises(CryptoError):
        inbound.decrypt(messages[2])


def test_olm_failure_leaves_the_session_as_it_was() -> None:
    _, _, outbound, inbound = session_pair()
    message = outbound.encrypt(b"text")
    for wrong in (flipped(message, len(message) - 1), message[:-1], b"", b"\x07" + message[1:]):
        with pytest.raises(CryptoError):
            inbound.decrypt(wrong)
    assert inbound.decrypt(message) == b"text"


def test_olm_pickles_carry_the_state_over() -> None:
    alice, bob, outbound, inbound = session_pair()
    message = outbound.encrypt(b"text")
    restored = CRYPTO.load_session(inbound.pickle(KEY), KEY)
    assert restored.id == inbound.id
    assert restored.decrypt(message) == b"text"

    one_time_key = bob.new_one_time_key()
    again = CRYPTO.load_account(bob.pickle(KEY), KEY)
    assert again.identity_key == bob.identity_key
    first = alice.outbound(again.identity_key, one_time_key).encrypt(b"new")
    assert again.inbound(alice.identity_key, first)[1] == b"new"


def test_olm_pickles_load_with_their_own_key_only() -> None:
    _, bob, _, inbound = session_pair()
    account, session = bob.pickle(KEY), inbound.pickle(KEY)
    for key in (bytes(32), b"", KEY[:-1]):
        with pytest.raises(CryptoError):
            CRYPTO.load_account(account, key)
        with pytest.raises(CryptoError):
            CRYPTO.load_session(session, key)
    with pytest.raises(CryptoError):
        CRYPTO.load_session(account, KEY)
    with pytest.raises(CryptoError):
        CRYPTO.load_account(session, KEY)


def test_olm_loads_and_decrypts_what_was_made_long_ago() -> None:
    key, first, normal = (bytes.fromhex(OLM[name]) for name in ("key", "first", "normal"))
    account = CRYPTO.load_account(OLM["account"].encode(), key)
    assert account.identity_key.hex() == OLM["receiver_identity"]
    inbound, plaintext = account.inbound(bytes.fromhex(OLM["sender_identity"]), first)
    assert (inbound.id.hex(), plaintext) == (OLM["session_id"], b"first")
    session = CRYPTO.load_session(OLM["session"].encode(), key)
    assert session.id.hex() == OLM["session_id"]
    assert session.decrypt(normal) == b"normal"


ACCOUNT = CRYPTO.load_account(OLM["account"].encode(), bytes.fromhex(OLM["key"]))
SESSION = CRYPTO.load_session(OLM["session"].encode(), bytes.fromhex(OLM["key"]))

olm_like = st.binary(max_size=200) | st.builds(
    lambda message, place, value: message[:place] + bytes([value]) + message[place + 1 :],
    st.sampled_from([bytes.fromhex(OLM["first"]), bytes.fromhex(OLM["normal"])]),
    # The first nine bytes are type, version and lengths: changes there reach the parser.
    st.integers(0, 8),
    st.integers(0, 255),
)


@given(olm_like, st.binary(max_size=40))
def test_malformed_olm_bytes_raise_crypto_error_alone(message: bytes, key: bytes) -> None:
    attempts = [
        lambda: CRYPTO.session_of(message),
        lambda: SESSION.decrypt(message),
        lambda: ACCOUNT.inbound(key, message),
        lambda: ACCOUNT.outbound(key, message[:32]),
        lambda: CRYPTO.load_account(message, KEY),
        lambda: CRYPTO.load_session(message, KEY),
    ]
    refused = 0
    for attempt in attempts:
        try:
            attempt()
        except CryptoError:
            refused += 1
    assert refused >= 2  # It is never a pickle.

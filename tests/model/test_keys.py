"""Key pairs."""

from __future__ import annotations

import pytest

from volok.model.event import sign_event, verify_event
from volok.model.keys import InvalidKey, KeyPair
from volok.native import NativeCrypto

CRYPTO = NativeCrypto()


def test_generated_pairs_sign_and_differ() -> None:
    one, two = KeyPair.generate(CRYPTO), KeyPair.generate(CRYPTO)
    assert one.secret != two.secret
    event = sign_event(CRYPTO, one.secret, 1, 1, [], "")
    assert event.pubkey == one.public
    assert verify_event(event, CRYPTO)


def test_hexadecimal_round_trip() -> None:
    pair = KeyPair.generate(CRYPTO)
    assert KeyPair.from_hex(CRYPTO, pair.secret_hex) == pair
    assert KeyPair.from_secret(CRYPTO, pair.secret) == pair


@pytest.mark.parametrize("text", ["", "00" * 32, "ff" * 32, "01" * 31, "AB" * 32, "0x" + "1" * 62])
def test_what_is_no_secret_key(text: str) -> None:
    with pytest.raises(InvalidKey):
        KeyPair.from_hex(CRYPTO, text)


def test_short_secrets_are_not_filled_up() -> None:
    with pytest.raises(InvalidKey):
        KeyPair.from_secret(CRYPTO, b"\x01")


def test_the_secret_is_not_shown() -> None:
    pair = KeyPair.generate(CRYPTO)
    assert pair.public in repr(pair)
    assert pair.secret_hex not in repr(pair)
    assert repr(pair.secret) not in repr(pair)

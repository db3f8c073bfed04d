"""The fragment that pins a relay's key."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from volok.app.cli.relay_certificate import make_certificate
from volok.model.relay_link import (
    InvalidCertificate,
    InvalidFragment,
    RelayPin,
    key_pin,
    parse_fragment,
    public_key_info,
    split_fragment,
)

CERTIFICATE = x509.load_pem_x509_certificate(
    make_certificate("localhost", datetime(2026, 1, 1, tzinfo=UTC))[0]
)
DER = CERTIFICATE.public_bytes(serialization.Encoding.DER)
PIN = RelayPin(bytes(range(16)))


def test_the_pin_is_the_hash_of_the_key() -> None:
    info = CERTIFICATE.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert public_key_info(DER) == info
    assert key_pin(DER) == hashlib.sha256(info).digest()[:16]
    assert RelayPin(key_pin(DER)).accepts(DER)
    assert not PIN.accepts(DER)
    assert not PIN.accepts(b"")


@given(
    st.binary(min_size=16, max_size=16), st.sampled_from(["", "www.example.org", "xn--e1afmkfd"])
)
def test_fragments_round_trip(pin: bytes, sni: str) -> None:
    made = RelayPin(pin, sni)
    assert parse_fragment(made.to_text()) == made
    assert split_fragment(f"wss://h/p#{made.to_text()}") == ("wss://h/p", made)
    assert base64.urlsafe_b64decode(made.to_text()[:22] + "==") == pin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "part",
        PIN.to_text()[:-1],
        PIN.to_text() + "A",
        PIN.to_text()[:-1] + "B",  # bits beyond the 16 bytes
        PIN.to_text() + "&",
        PIN.to_text() + "&sni=",
        PIN.to_text() + "&sni=a b",
        PIN.to_text() + "&sni=-a.example",
        PIN.to_text() + "&sni=192.0.2.1",
        PIN.to_text() + "&sni=a..b",
        PIN.to_text() + "&sni=" + "a." * 130 + "a",
        PIN.to_text() + "&other=x",
    ],
)
def test_other_fragments_are_refused(text: str) -> None:
    with pytest.raises(InvalidFragment):
        parse_fragment(text)


@given(st.text(max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(InvalidFragment):
        assert parse_fragment(parse_fragment(text).to_text()) == parse_fragment(text)


@given(st.integers(0, len(DER) - 1), st.integers(0, 255))
def test_an_altered_certificate_is_read_or_refused(at: int, value: int) -> None:
    altered = DER[:at] + bytes([value]) + DER[at + 1 :]
    for data in (altered, DER[:at]):
        with contextlib.suppress(InvalidCertificate):
            assert public_key_info(data) in data


@given(st.binary(max_size=80))
def test_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidCertificate):
        public_key_info(data)


def test_something_after_a_certificate_is_refused() -> None:
    with pytest.raises(InvalidCertificate):
        public_key_info(DER + b"\0")

"""The exemptions of Wu and others (USENIX Security 2023), each with an example just inside and out.

Every other rule is kept from deciding: the payloads are made of bytes that are not printable and
have 4 set bits on average, unless the rule in question is about that.
"""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.entropy import (
    Rules,
    bits_per_byte,
    is_http,
    is_printable,
    is_tls,
    looks_encrypted,
    printable_run,
    printable_share,
)

# Four of the eight bits are set, and it is not printable.
HALF = b"\x8d"


def bits(each: float, size: int = 100) -> bytes:
    """Bytes that are not printable, with that many set bits on average."""
    few, many = b"\x89", b"\x9f"  # 3 and 6 bits
    with_many = round((each - 3) / 3 * size)
    return few * (size - with_many) + many * with_many


@given(st.binary())
def test_bits_are_counted(payload: bytes) -> None:
    counted = sum(bin(byte).count("1") for byte in payload)
    assert bits_per_byte(payload) == (counted / len(payload) if payload else 0)


def test_half_of_the_bits_look_encrypted() -> None:
    assert looks_encrypted(HALF * 100)


def test_random_bytes_mostly_look_encrypted() -> None:
    rng = Random(7)
    assert sum(looks_encrypted(rng.randbytes(600)) for _ in range(100)) > 90


@pytest.mark.parametrize(
    ("each", "blocked"), [(3.36, False), (3.42, True), (4.59, True), (4.62, False)]
)
def test_few_or_many_bits_are_exempt(each: float, blocked: bool) -> None:
    payload = bits(each)
    assert bits_per_byte(payload) == pytest.approx(each, abs=0.02)
    assert looks_encrypted(payload) == blocked


def test_the_thresholds_themselves_are_exempt() -> None:
    # 3.4 and 4.6 set bits a byte exactly.
    assert not looks_encrypted(b"\x89\x89\x89\x8d\x8d")
    assert not looks_encrypted(b"\x8d\x8d\x8f\x8f\x8f")


@pytest.mark.parametrize(("prefix", "blocked"), [(b"Volok ", False), (b"Volok", True)])
def test_six_printable_bytes_first_are_exempt(prefix: bytes, blocked: bool) -> None:
    assert looks_encrypted(prefix + HALF * 100) == blocked
    assert looks_encrypted(HALF + prefix + HALF * 100)


@pytest.mark.parametrize(("printable", "blocked"), [(50, True), (51, False)])
def test_more_than_half_printable_is_exempt(printable: int, blocked: bool) -> None:
    spread = [b"U" if index < printable else HALF for index in range(100)]
    Random(1).shuffle(spread)
    payload = HALF + b"".join(spread)[1:] if spread[0] == HALF else b"".join(spread)
    assert printable_run(payload) <= 20
    assert printable_share(payload) == printable / 100
    assert looks_encrypted(payload) == blocked


@pytest.mark.parametrize(("run", "blocked"), [(20, True), (21, False)])
def test_a_long_printable_run_is_exempt(run: int, blocked: bool) -> None:
    payload = HALF * 40 + b"U" * run + HALF * 40
    assert printable_run(payload) == run
    assert looks_encrypted(payload) == blocked


@pytest.mark.parametrize(
    ("prefix", "tls"),
    [
        (b"\x16\x03\x01", True),
        (b"\x17\x03\x09", True),
        (b"\x16\x03\x0a", False),
        (b"\x18\x03\x03", False),
        (b"\x16\x02\x03", False),
        (b"\x16\x03", False),
    ],
)
def test_tls_is_exempt(prefix: bytes, tls: bool) -> None:
    payload = prefix + HALF * 100
    assert is_tls(payload) == tls
    assert looks_encrypted(payload) != tls


@pytest.mark.parametrize("method", [b"GET ", b"PUT ", b"POST ", b"HEAD "])
def test_http_is_exempt(method: bytes) -> None:
    assert is_http(method + HALF)
    assert not looks_encrypted(method + HALF * 100)
    assert looks_encrypted(method.strip() + HALF * 100)


def test_other_thresholds_can_be_set() -> None:
    assert not looks_encrypted(HALF * 100, Rules(few_bits=4.0))


@given(st.binary(max_size=100))
def test_the_measures_agree(payload: bytes) -> None:
    share, run = printable_share(payload), printable_run(payload)
    assert 0 <= share <= 1
    assert run <= share * len(payload) + 1e-9
    if payload:
        assert is_printable(payload) == (share == 1) == (run == len(payload))


def test_nothing_is_no_encrypted_payload() -> None:
    assert not looks_encrypted(b"")

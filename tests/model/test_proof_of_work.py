"""Proof of work (NIP-13)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.event import Event
from volok.model.proof_of_work import committed, difficulty, shortfall

A = "a" * 64


def event(name: str, *tags: tuple[str, ...]) -> Event:
    return Event(name, A, 0, 1, tags, "", "0" * 128)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        # The examples of NIP-13.
        ("000000000e9d97a1ab09fc381030b346cdd7a142ad57e6df0b46dc9bef6c7e2d", 36),
        ("000006d8c378af1779d2feebc7603a125d99eca0ccf1085959b307f64e5dd358", 21),
        ("002f" + "0" * 60, 10),
        ("f" * 64, 0),
        ("7" + "f" * 63, 1),
        ("0" * 63 + "1", 255),
        ("0" * 64, 256),
    ],
)
def test_difficulty(name: str, bits: int) -> None:
    assert difficulty(name) == bits


@given(st.binary(min_size=32, max_size=32))
def test_difficulty_counts_leading_zeros(data: bytes) -> None:
    text = "".join(f"{byte:08b}" for byte in data)
    assert difficulty(data.hex()) == len(text) - len(text.lstrip("0"))


@pytest.mark.parametrize(
    ("tags", "target"),
    [
        ([("nonce", "5", "20")], 20),
        ([("t", "x"), ("nonce", "5", "20", "more"), ("nonce", "5", "30")], 20),
        ([("nonce", "5")], None),
        ([("nonce",)], None),
        ([("nonce", "5", "many")], None),
        ([("nonce", "5", "-1")], None),
        ([("nonce", "5", "²")], None),
        ([("nonce", "5", "9" * 5000)], None),
        ([], None),
    ],
)
def test_commitment(tags: list[tuple[str, ...]], target: int | None) -> None:
    assert committed(event(A, *tags)) == target


@given(st.integers(0, 256), st.none() | st.integers(0, 256), st.integers(0, 256))
def test_an_event_suffices_by_what_it_did_and_said(
    bits: int, target: int | None, required: int
) -> None:
    name = f"{(1 << (256 - bits)) - 1:064x}"
    tags = [] if target is None else [("nonce", "0", str(target))]
    problem = shortfall(event(name, *tags), required)
    enough = bits >= required and target is not None and target >= required
    assert (problem is None) == (enough or required == 0)

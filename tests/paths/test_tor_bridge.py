"""Bridge lines: what people paste, and what would say something else in a torrc."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.paths.tor_bridge import Bridge, InvalidBridge, parse_bridge

FINGERPRINT = "0123456789ABCDEF0123456789ABCDEF01234567"
OBFS4 = f"obfs4 192.0.2.1:443 {FINGERPRINT} cert=a+b/c== iat-mode=0"


def test_bridges() -> None:
    made = parse_bridge(OBFS4)
    assert made.transport == "obfs4"
    assert made.to_text() == OBFS4
    assert parse_bridge(f"  Bridge   {OBFS4} ") == made
    assert parse_bridge(f"192.0.2.1:443 {FINGERPRINT}") == Bridge(
        "", f"192.0.2.1:443 {FINGERPRINT}"
    )
    assert parse_bridge("[2001:db8::1]:443").to_text() == "[2001:db8::1]:443"
    url = f"webtunnel [2001:db8::1]:443 {FINGERPRINT} url=https://a.example/b?c=d"
    assert parse_bridge(url).to_text() == url


@pytest.mark.parametrize(
    "line",
    [
        "",
        "obfs4",
        "obfs4 bridge.example:443",
        "obfs4 192.0.2.1",
        "obfs4 192.0.2.1:0",
        "obfs4 1.2.3:443",
        f"192.0.2.1:443 {FINGERPRINT} cert=x",  # parameters of no transport
        f"{OBFS4} nonsense",
        f"{OBFS4}\nSocksPort 0.0.0.0:9050",
        f"{OBFS4} a=b#c",
        f'{OBFS4} a="b',
        f"{OBFS4} a=ж",
        f"{OBFS4} a={'x' * 1000}",
    ],
)
def test_what_is_no_bridge(line: str) -> None:
    with pytest.raises(InvalidBridge):
        parse_bridge(line)


@given(st.text(max_size=80))
def test_nothing_but_one_line_of_words_gets_through(text: str) -> None:
    for line in (text, f"{OBFS4} {text}", f"obfs4 {text}"):
        with contextlib.suppress(InvalidBridge):
            made = parse_bridge(line)
            assert made.to_text().isprintable()
            assert parse_bridge(made.to_text()) == made

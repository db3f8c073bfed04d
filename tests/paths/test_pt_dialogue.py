"""What programs of transports say, and what they are told."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.paths.pt_dialogue import (
    MOST_LINES,
    Dialogue,
    Method,
    TransportFailed,
    client_environment,
    parse_parameters,
    server_environment,
)


def talk(server: bool, *lines: str) -> Method | None:
    dialogue = Dialogue("obfs4", server)
    return next((method for line in lines if (method := dialogue.said(line))), None)


def test_a_client() -> None:
    assert talk(
        False,
        "VERSION 1",
        "STATUS TRANSPORT=obfs4 whatever",
        "CMETHOD other socks4 192.0.2.1:1",
        "CMETHOD obfs4 socks5 127.0.0.1:42967",
        "CMETHODS DONE",
    ) == Method("127.0.0.1", 42967)
    assert talk(False, "VERSION 1", "CMETHOD obfs4 socks5 [::1]:7", "CMETHODS DONE") == Method(
        "::1", 7
    )


def test_a_server() -> None:
    assert talk(
        True,
        "VERSION 1",
        "SMETHOD obfs4 203.0.113.1:4443 ARGS:cert=a+b/c\\=,iat-mode=0",
        "SMETHODS DONE",
    ) == Method("203.0.113.1", 4443, (("cert", "a+b/c="), ("iat-mode", "0")))
    assert talk(True, "VERSION 1", "SMETHOD obfs4 0.0.0.0:4443", "SMETHODS DONE") == Method(
        "0.0.0.0", 4443
    )


@pytest.mark.parametrize(
    "lines",
    [
        ("VERSION-ERROR no-version",),
        ("ENV-ERROR what",),
        ("VERSION 1", "CMETHOD-ERROR obfs4 no such transport"),
        ("VERSION 1", "PROXY-ERROR no"),
        ("VERSION 1", "CMETHODS DONE"),
        ("CMETHOD obfs4 socks5 127.0.0.1:1", "CMETHODS DONE"),
        ("VERSION 2", "CMETHOD obfs4 socks5 127.0.0.1:1", "CMETHODS DONE"),
        # It would show everybody on the network what is sent there.
        ("VERSION 1", "CMETHOD obfs4 socks5 203.0.113.1:1080"),
        ("VERSION 1", "CMETHOD obfs4 socks5 localhost:1080"),
        ("VERSION 1", "CMETHOD obfs4 socks4 127.0.0.1:1080"),
        ("VERSION 1", "CMETHOD obfs4 socks5 127.0.0.1:0"),
        ("VERSION 1", "CMETHOD obfs4 socks5 127.0.0.1:99999"),
        ("VERSION 1", "CMETHOD obfs4 socks5 999.0.0.1:1"),
        ("VERSION 1", "CMETHOD obfs4 socks5"),
        ("VERSION 1", "CMETHOD obfs4"),
        ("LOG MESSAGE=" + "x" * 5000,),
        ("LOG x",) * (MOST_LINES + 1),
    ],
)
def test_what_is_not_used(lines: tuple[str, ...]) -> None:
    with pytest.raises(TransportFailed):
        talk(False, *lines)


@given(st.lists(st.text(max_size=40), max_size=20), st.booleans())
def test_no_line_raises_anything_else(lines: list[str], server: bool) -> None:
    for start in ("", "CMETHOD obfs4 ", "SMETHOD obfs4 127.0.0.1:1 ARGS:", "VERSION "):
        with contextlib.suppress(TransportFailed):
            talk(server, *(start + line for line in lines))


@given(
    st.lists(
        st.tuples(
            st.text("abc-_", min_size=1, max_size=5),
            st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
        ),
        max_size=4,
    ).map(tuple)
)
def test_parameters_of_a_server(pairs: tuple[tuple[str, str], ...]) -> None:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")

    text = ",".join(f"{escaped(key)}={escaped(value)}" for key, value in pairs)
    assert parse_parameters(text) == pairs


def test_what_programs_are_told() -> None:
    assert client_environment("obfs4") == {"TOR_PT_CLIENT_TRANSPORTS": "obfs4"}
    told = server_environment("webtunnel", "0.0.0.0:1", "127.0.0.1:2", {"url": "https://a;b=c\\d"})
    assert told["TOR_PT_SERVER_BINDADDR"] == "webtunnel-0.0.0.0:1"
    assert told["TOR_PT_ORPORT"] == "127.0.0.1:2"
    assert told["TOR_PT_SERVER_TRANSPORT_OPTIONS"] == "webtunnel:url=https\\://a\\;b\\=c\\\\d"
    for name, options in (("a b", {}), ("obfs4", {"a=b": "c"}), ("obfs4", {"a": "\n"})):
        with pytest.raises(TransportFailed):
            server_environment(name, "0.0.0.0:1", "127.0.0.1:2", options)

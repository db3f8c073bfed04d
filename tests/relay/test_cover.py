"""The website of strangers, as requests and answers."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.relay.cover import CoverFile, CoverSite, InvalidRequest, is_secret, parse_request

NOW = 1_800_000_000
SITE = CoverSite(
    {
        "index.html": CoverFile(b"<p>home</p>", 1_700_000_000),
        "a b/page.txt": CoverFile(b"0123456789", 1_700_000_000),
        "full/index.html": CoverFile(b"full", 1_700_000_000),
    }
)


def ask(line: str, *headers: str) -> tuple[int, dict[str, str], bytes, bool]:
    head = "\r\n".join([line, "Host: h", *headers]).encode()
    answer = SITE.answer(parse_request(head), NOW)
    top, _, body = answer.data.partition(b"\r\n\r\n")
    first, *fields = top.decode().split("\r\n")
    return int(first.split()[1]), dict(f.split(": ", 1) for f in fields), body, answer.keep


def test_a_page() -> None:
    status, headers, body, keep = ask("GET /?query HTTP/1.1")
    assert (status, body, keep) == (200, b"<p>home</p>", True)
    assert headers == {
        "Date": "Fri, 15 Jan 2027 08:00:00 GMT",
        "Content-Type": "text/html",
        "Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "ETag": '"6553f100-b"',
        "Accept-Ranges": "bytes",
        "Content-Length": "11",
        "Connection": "keep-alive",
    }


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /a%20b/page.txt HTTP/1.1", 200),
        ("GET /a%20b/./x/../page.txt HTTP/1.1", 200),
        ("GET //a%20b//page.txt HTTP/1.1", 200),
        ("GET http://h/a%20b/page.txt HTTP/1.1", 200),
        ("GET http://h HTTP/1.1", 200),
        ("HEAD / HTTP/1.1", 200),
        ("GET /a%20b HTTP/1.1", 301),
        ("GET /full HTTP/1.1", 301),
        ("GET /full/ HTTP/1.1", 200),
        ("GET /a%20b/ HTTP/1.1", 403),
        ("GET /nothing HTTP/1.1", 404),
        ("GET /nothing/ HTTP/1.1", 404),
        ("POST /nothing HTTP/1.1", 404),
        ("POST / HTTP/1.1", 405),
        ("PUT /upload HTTP/1.1", 405),
        ("DELETE / HTTP/1.1", 405),
        ("OPTIONS / HTTP/1.1", 405),
        ("OPTIONS * HTTP/1.1", 400),
        ("BREW / HTTP/1.1", 405),
        ("GET /../etc/passwd HTTP/1.1", 400),
        ("GET /%2e%2e/x HTTP/1.1", 400),
        ("GET /%zz HTTP/1.1", 400),
        ("GET /%00 HTTP/1.1", 400),
    ],
)
def test_statuses(line: str, status: int) -> None:
    assert ask(line)[0] == status
    if line.startswith("HEAD"):
        assert ask(line)[2] == b""


def test_upgrades_and_wishes_of_clients_of_relays_change_nothing() -> None:
    plain = ask("GET / HTTP/1.1")
    upgrade = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x")
    assert ask("GET / HTTP/1.1", "Connection: Upgrade", *upgrade) == plain
    assert ask("GET / HTTP/1.1", "Accept: application/nostr+json") == plain
    assert ask("GET / HTTP/1.1", "Origin: https://page.example") == plain


def test_parts_and_conditions() -> None:
    page = "GET /a%20b/page.txt HTTP/1.1"
    status, headers, body, _ = ask(page, "Range: bytes=2-4")
    assert (status, headers["Content-Range"], body) == (206, "bytes 2-4/10", b"234")
    assert ask(page, "Range: bytes=99-")[0] == 416
    assert ask(page, "Range: bytes=2-4", 'If-Range: "other"')[0] == 200
    tag = ask(page)[1]["ETag"]
    status, headers, body, _ = ask(page, f"If-None-Match: {tag}")
    assert (status, body, "Content-Length" in headers) == (304, b"", False)
    assert ask(page, "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT")[0] == 304
    assert ask(page, "If-Modified-Since: Mon, 13 Nov 2023 22:13:20 GMT")[0] == 200
    assert ask(page, "If-Modified-Since: nonsense")[0] == 200


@pytest.mark.parametrize(
    ("headers", "keep"),
    [
        (("Connection: close",), False),
        (("Content-Length: 5",), True),
        (("Transfer-Encoding: chunked",), False),
    ],
)
def test_whether_the_connection_stays(headers: tuple[str, ...], keep: bool) -> None:
    assert ask("POST / HTTP/1.1", *headers)[3] is keep


@pytest.mark.parametrize("headers", [("Host: b",), ("Content-Length: x",)])
def test_headers_that_break_the_rules(headers: tuple[str, ...]) -> None:
    assert ask("GET / HTTP/1.1", *headers)[0] == 400


@pytest.mark.parametrize(
    "head", [b"", b"GET /", b"GET / HTTP/2.0", b"get / HTTP/1.1", b"GET / HTTP/1.1\r\nnonsense"]
)
def test_what_is_no_request(head: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_request(head)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_every_request_has_an_answer(target: bytes, header: bytes) -> None:
    try:
        request = parse_request(b"GET /" + target + b" HTTP/1.1\r\nHost: h\r\nRange: " + header)
    except InvalidRequest:
        return
    assert SITE.answer(request, NOW).data.startswith(b"HTTP/1.1 ")
    assert not is_secret(request.path, hashlib.sha256(b"the secret of somebody").digest())


def test_the_secret_is_the_whole_first_part() -> None:
    digest = hashlib.sha256(b"secret").digest()
    assert is_secret("/secret", digest)
    assert is_secret("/secret/upload", digest)
    for path in ("/secre", "/secrets", "/x/secret", "/", "", "/SECRET", "/%73ecret"):
        assert not is_secret(path, digest)

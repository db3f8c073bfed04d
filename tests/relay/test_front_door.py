"""Strangers see a website, and nothing tells that there is a relay: bytes, headers, time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import random
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.relay.covered import SECRET, Covered, Stranger, covered

from volok.relay import front_door
from volok.relay.errors import RelayError
from volok.relay.front_door import load_site

UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
NEAR = SECRET[:-1] + "x"
WRONG = [b"/nothing", f"/{NEAR}".encode(), f"/{NEAR}/upload".encode(), b"/upload", b"/" + b"0" * 64]


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Covered]:
    website = tmp_path / "website"
    website.mkdir()
    (website / "index.html").write_text("<p>Bakery</p>")
    (website / ".hidden").write_text("hidden")
    async with covered(tmp_path / "data", website) as running:
        yield running


def undated(answer: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]+", b"Date: now", answer)


def request(path: bytes, headers: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: h\r\n" + headers + b"\r\n"


async def test_without_the_secret_every_path_and_wish_is_answered_alike(relay: Covered) -> None:
    stranger = await Stranger.to(relay)
    seen = set()
    for path in WRONG:
        for wish in (b"", UPGRADE, b"Accept: application/nostr+json\r\n", b"Origin: https://x\r\n"):
            seen.add(undated(await stranger.ask(request(path, wish))))
    assert len(seen) == 1
    (answer,) = seen
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\nDate: now\r\nContent-Type: text/html\r\n")
    words = (b"server:", b"nostr", b"volok", b"relay", b"uvicorn", b"access-control", b"x-reason")
    assert not any(word in answer.lower() for word in words)

    home = {
        undated(await stranger.ask(request(b"/", wish)))
        for wish in (b"", UPGRADE, b"Accept: application/nostr+json\r\n")
    }
    assert len(home) == 1
    assert home.pop().endswith(b"<p>Bakery</p>")
    for method in (b"PUT", b"DELETE", b"OPTIONS", b"PATCH"):
        answers = {undated(await stranger.ask(request(path, b"", method))) for path in WRONG}
        assert len(answers) == 1
        assert answers.pop().startswith(b"HTTP/1.1 405 ")
    assert (await stranger.ask(request(b"/.hidden"))).startswith(b"HTTP/1.1 404 ")
    await stranger.close()


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01" + b"\xff" * 300 + b"\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 9000, b"414"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 7000, b"400"),
    ],
)
async def test_garbage_ends_the_connection(relay: Covered, garbage: bytes, status: bytes) -> None:
    stranger = await Stranger.to(relay)
    stranger.writer.write(garbage)
    assert (await stranger.ended()).startswith(b"HTTP/1.1 " + status + b" ")


async def test_requests_in_pieces_in_rows_and_with_bodies(relay: Covered) -> None:
    stranger = await Stranger.to(relay)
    for piece in (b"GET /no", b"thing HTT", b"P/1.1\r\nHost: h\r", b"\n\r"):
        stranger.writer.write(piece)
        await stranger.writer.drain()
    assert b" 404 " in await stranger.ask(b"\n")
    body = b"Content-Length: 20000\r\n"
    stranger.writer.write(request(b"/", body, b"POST") + b"x" * 20_000 + request(b"/"))
    assert b" 405 " in await stranger.ask(b"")
    assert (await stranger.ask(b"")).endswith(b"<p>Bakery</p>")
    await stranger.close()


async def test_who_asks_for_nothing_is_let_go(
    relay: Covered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_door, "_IDLE_SECONDS", 0.1)
    stranger = await Stranger.to(relay)
    stranger.writer.write(b"GET / HT")
    with contextlib.suppress(ConnectionError):
        assert await stranger.ended() == b""


async def test_with_the_secret_there_is_a_relay(relay: Covered) -> None:
    stranger = await Stranger.to(relay)
    path = f"/{SECRET}".encode()
    assert b" 404 " in await stranger.ask(request(b"/nothing"))  # even on the same connection
    document = await stranger.ask(request(path, b"Accept: application/nostr+json\r\n"))
    assert b'"supported_nips"' in document
    answer = await stranger.ask(request(path, UPGRADE))
    assert answer.startswith(b"HTTP/1.1 101 ")
    await stranger.close()


async def test_leaving_ends_idle_strangers(tmp_path: Path) -> None:
    async with covered(tmp_path) as relay:
        stranger = await Stranger.to(relay)
        assert (await stranger.ask(request(b"/"))).endswith(b"It works!</h1></body></html>\n")
    assert await stranger.ended() == b""


def test_websites_that_cannot_be_shown(tmp_path: Path) -> None:
    with pytest.raises(RelayError, match="does not exist"):
        load_site(tmp_path / "gone", 0)
    with pytest.raises(RelayError, match=r"index\.html"):
        load_site(tmp_path, 0)
    (tmp_path / "index.html").symlink_to("/etc/passwd")
    with pytest.raises(RelayError, match=r"index\.html"):
        load_site(tmp_path, 0)


async def test_the_time_tells_nothing(relay: Covered) -> None:
    """Two samples: a path that shares all but one character with the secret, and another."""
    near, far = request(f"/{NEAR}".encode()), request(b"/" + b"q" * len(NEAR))
    # A chance of 1 in 100 to be wrong, and then again.
    assert await _tells(relay, near, far, 2) is False


async def test_a_planted_difference_is_found(
    relay: Covered, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = front_door.is_secret

    def slow(path: str, digest: bytes) -> bool:
        if path.startswith(f"/{SECRET[:8]}"):
            until = time.perf_counter() + 0.0003
            while time.perf_counter() < until:
                pass
        return genuine(path, digest)

    monkeypatch.setattr(front_door, "is_secret", slow)
    near, far = request(f"/{NEAR}".encode()), request(b"/" + b"q" * len(NEAR))
    assert await _tells(relay, near, far, 1) is True


async def _tells(relay: Covered, one: bytes, other: bytes, runs: int) -> bool:
    """Whether each of so many runs of 1,000 requests each tells the two apart at p = 0.01."""
    for _ in range(runs):
        if _p_value(*await _times(relay, one, other, 1000)) >= 0.01:
            return False
    return True


async def _times(
    relay: Covered, one: bytes, other: bytes, count: int
) -> tuple[list[float], list[float]]:
    stranger = await Stranger.to(relay)
    order = [True] * count + [False] * count
    random.shuffle(order)
    found: tuple[list[float], list[float]] = ([], [])
    gc.disable()
    try:
        for first in order:
            begun = time.perf_counter()
            await stranger.ask(one if first else other)
            found[not first].append(time.perf_counter() - begun)
    finally:
        gc.enable()
        await stranger.close()
    return found


def _p_value(one: list[float], other: list[float]) -> float:
    """Mann and Whitney's U, two-sided, by the normal approximation."""
    ranked = sorted([(value, True) for value in one] + [(value, False) for value in other])
    ranks = sum(rank for rank, (_, first) in enumerate(ranked, start=1) if first)
    n, m = len(one), len(other)
    u = ranks - n * (n + 1) / 2
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))


async def test_what_is_not_tls_is_let_go_and_not_logged(
    relay: Covered, caplog: pytest.LogCaptureFixture
) -> None:
    for garbage in (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b""):
        reader, writer = await asyncio.open_connection(relay.address.host, relay.address.port)
        writer.write(garbage)
        writer.write_eof()
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                assert b"HTTP" not in await reader.read()
        writer.close()
    assert [one.getMessage() for one in caplog.records if "127.0.0.1" in one.getMessage()] == []

"""The probes find a relay that stands in the open and nothing on an ordinary website."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from random import Random
from time import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from lab.probes import (
    Probe,
    Settings,
    ask,
    catalogue,
    client_hello,
    name_in,
    probe,
    probes,
    reveals,
    without_echo,
)
from lab.tls import Hello, HelloReader
from tests.lab.censors.speakers import browser_hello

from volok.native import NativeCrypto
from volok.relay.asgi import create_app
from volok.relay.front_door import FrontDoor, load_site
from volok.relay.server import serve
from volok.relay.settings import RelaySettings
from volok.store.memory_store import MemoryStore

pytestmark = pytest.mark.own_time

HELLO = browser_hello("relay1.example")
QUICK = Settings(patience_seconds=0.3, at_once=16)
PAGE = b"<!doctype html><title>Bread</title><p>We bake."

Serving = Callable[[bool], AbstractAsyncContextManager[int]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for it, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "www.plain.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def relay(certificate: Path) -> Serving:
    """A relay of ours without a secret path, with TLS or without; yields its port."""
    return partial(serve_relay, certificate, None)


@pytest.fixture
def hidden_relay(certificate: Path) -> Serving:
    """A relay of ours behind a secret path and the default cover website."""
    return partial(serve_relay, certificate, "a-secret-path-0123456789")


@asynccontextmanager
async def serve_relay(certificate: Path, secret: str | None, secure: bool) -> AsyncIterator[int]:
    settings = RelaySettings(secret_path=secret or "")
    app = create_app(MemoryStore(), NativeCrypto(), settings)
    tls = server_context(certificate) if secure else None
    door = None
    if secret:
        door = FrontDoor(load_site(None, 1_700_000_000.0), sha256(secret.encode()).digest(), time)
    async with serve(app, "127.0.0.1", 0, settings, tls=tls, door=door) as address:
        yield address.port


@pytest.fixture
def website(certificate: Path) -> Serving:
    """A small website, with TLS or without, whose error pages repeat the path asked for."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1:2]
            status, page = b"200 OK", PAGE
            if path != [b"/"]:
                status, page = b"404 Not Found", b"There is no " + b"".join(path)
            length = str(len(page)).encode()
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: %b\r\n\r\n%b" % (status, length, page))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def start(secure: bool) -> AsyncIterator[int]:
        tls = server_context(certificate) if secure else None
        async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as server:
            yield server.sockets[0].getsockname()[1]

    return start


@pytest.mark.parametrize("secure", [True, False])
async def test_a_relay_in_the_open_is_found(relay: Serving, secure: bool) -> None:
    async with relay(secure) as port:
        assert await probe("127.0.0.1", port, HELLO, replace(QUICK, patience_seconds=1.0))


@pytest.mark.parametrize("secure", [True, False])
async def test_a_relay_behind_its_secret_path_is_not_found(
    hidden_relay: Serving, secure: bool
) -> None:
    async with hidden_relay(secure) as port:
        assert not await probe("127.0.0.1", port, HELLO, QUICK)


@pytest.mark.full
@pytest.mark.parametrize("secure", [True, False])
async def test_a_thousand_probes_do_not_find_it(hidden_relay: Serving, secure: bool) -> None:
    size = len(list(catalogue(HELLO, "relay1.example", Random(1))))
    settings = replace(QUICK, rounds=-(-1000 // size))
    async with hidden_relay(secure) as port:
        assert not await probe("127.0.0.1", port, HELLO, settings)


@pytest.mark.parametrize("secure", [True, False])
async def test_a_website_is_not_taken_for_a_relay(website: Serving, secure: bool) -> None:
    async with website(secure) as port:
        assert not await probe("127.0.0.1", port, HELLO, QUICK)


@pytest.mark.parametrize("secure", [True, False])
async def test_what_gives_a_relay_away(relay: Serving, secure: bool) -> None:
    # The page at / does not, the upgrade and the document do, each by itself.
    found: dict[str, bool] = {}
    async with relay(secure) as port:
        for one in catalogue(HELLO, "127.0.0.1", Random(1)):
            kind = one.kind.removesuffix(" in TLS")
            if one.tls is secure and kind in {
                "HTTP GET",
                "websocket upgrade",
                "information document",
            }:
                answer = await ask("127.0.0.1", port, one, QUICK)
                found[kind] = found.get(kind, False) or reveals(answer)
                assert answer
    assert found == {"HTTP GET": False, "websocket upgrade": True, "information document": True}


async def test_a_server_that_is_not_there_or_never_answers_reveals_nothing() -> None:
    held = asyncio.Event()

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        short = Settings(patience_seconds=0.02, at_once=64)
        assert not await probe("127.0.0.1", port, HELLO, short)
        held.set()
    assert not await probe("127.0.0.1", port, HELLO, QUICK)


async def test_an_endless_answer_is_cut() -> None:
    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(bytes(65536))
                await writer.drain()
        except OSError:
            writer.close()

    async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = Settings(most_bytes=100_000, patience_seconds=10.0)
        answer = await ask("127.0.0.1", port, Probe("line ends", b"\r\n"), settings)
    assert 100_000 <= len(answer) < 120_000


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/nostr+json\r\n\r\n{}", True),
        (b'HTTP/1.1 200 OK\r\n\r\n1f\r\n{"supported_nips":[1]}\r\n0\r\n\r\n', True),
        (b"HTTP/1.1 200 OK\r\n\r\n<h1>A Nostr thing</h1>", True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\nThis relay wants a websocket", True),
        (b"HTTP/1.1 404 Not Found\r\nX-Reason: There is nothing here.\r\n\r\n", True),
        (b"", False),
        (b"\x15\x03\x01\x00\x02\x02\x46", False),
        (b"HTTP/1.1 426 Upgrade Required\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Switching Protocols", False),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://relay1.example/\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\nX-Reason: in the text", False),
        (b'HTTP/1.1 200 OK\r\n\r\n{"name":"weather"}', False),
    ],
)
def test_reveals(answer: bytes, expected: bool) -> None:
    assert reveals(answer) is expected


@given(st.binary(max_size=300))
def test_reveals_takes_anything(answer: bytes) -> None:
    assert reveals(answer) in {True, False}


def test_what_repeats_the_request_is_left_out() -> None:
    sent = b"GET /relay HTTP/1.1\r\nHost: relay.example\r\n\r\n"
    answer = b"HTTP/1.1 404 Not Found\r\n\r\nNo /relay at relay.example"
    assert reveals(answer)
    assert not reveals(without_echo(answer, sent, "relay.example"))
    assert reveals(without_echo(answer + b", this relay says", sent, "relay.example"))
    assert without_echo(b"a / b", b"GET / HTTP/1.1\r\n", "h") == b"a / b"


def test_the_catalogue_has_the_kinds_of_the_literature() -> None:
    found = list(catalogue(HELLO, "relay1.example", Random(1)))
    kinds = {one.kind for one in found}
    assert {"replay", "changed replay", "random bytes", "partial ClientHello", "silence"} <= kinds
    assert {"websocket upgrade", "information document", "another name in TLS"} <= kinds
    assert {"HTTP GET", "HTTP PUT", "HTTP path", "HTTP proxy", "SSH", "Tor versions"} <= kinds
    assert Probe("replay", HELLO) in found
    assert all(one.sent != HELLO for one in found if one.kind == "changed replay")
    lengths = {len(one.sent) for one in found if one.kind == "random bytes"}
    assert {7, 50, 221} <= lengths
    # None knows the secret path, and each request is a whole one.
    requests = [one.sent for one in found if one.kind.startswith(("HTTP G", "web", "info"))]
    assert all(b"\r\n\r\n" in request and b"relay1.example" in request for request in requests)
    assert {one.name for one in found if one.kind == "HTTP GET in TLS"} == {"relay1.example"}


def test_an_address_is_no_server_name() -> None:
    found = list(catalogue(b"\x91" * 50, "203.0.113.11", Random(1)))
    assert {one.name for one in found if one.kind == "HTTP GET in TLS"} == {""}


def test_probes_repeat_with_fresh_bytes_and_the_same_seed_gives_the_same() -> None:
    thousand = list(islice(probes(HELLO, "relay1.example", Random(1)), 1000))
    assert thousand == list(islice(probes(HELLO, "relay1.example", Random(1)), 1000))
    assert len({one.sent for one in thousand if len(one.sent) == 221}) > 1


@given(st.binary(max_size=200), st.integers())
def test_anything_may_have_been_seen(seen: bytes, seed: int) -> None:
    host = name_in(seen) or "203.0.113.11"
    assert len(list(catalogue(seen, host, Random(seed)))) > 100


@given(st.from_regex(r"[a-z0-9]{1,20}\.example", fullmatch=True), st.integers())
def test_our_own_hello_is_one(name: str, seed: int) -> None:
    hello = client_hello(name, Random(seed))
    reader = HelloReader()
    reader.add(hello)
    assert isinstance(reader.result, Hello)
    assert reader.result.name == name == name_in(hello)
    assert not reader.result.browser_like
    assert name_in(client_hello("", Random(seed))) is None


@pytest.mark.parametrize("name", ["-a.example", ".example", "a_b", "ä", "a" * 64, "a." * 130 + "b"])
def test_a_name_that_no_host_has_is_no_name(name: str) -> None:
    assert name_in(client_hello(name, Random(1))) is None

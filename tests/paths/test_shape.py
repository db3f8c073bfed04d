"""Shaped TLS as the border sees it: a listening socket reads the bytes, a real relay answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from tests.relay.covered import Covered, covered
from websockets.asyncio.server import serve

from volok.app.cli.relay_certificate import make_certificate
from volok.model.relay_link import RelayPin
from volok.paths.direct import DirectPath, DirectSettings
from volok.paths.live import PathError
from volok.paths.shape import Shape, Sni, certificate_names, shown_name, split_hello

PIN = "#" + "A" * 22
SETTINGS = DirectSettings(open_timeout=1.0)


def records(data: bytes) -> list[tuple[int, int]]:
    """(kind, length) of the TLS records in what was seen."""
    found, at = [], 0
    while at + 5 <= len(data):
        kind, _, size = struct.unpack_from(">BHH", data, at)
        found.append((kind, size))
        at += 5 + size
    return found


class Border:
    """Passes bytes on to a relay, and keeps them."""

    def __init__(self, port: int | None) -> None:
        self._port = port
        self.up = bytearray()
        self.down = bytearray()

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._port is None:
            self.up += await reader.read(10_000)
            writer.close()
            return
        there = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(
            self._pass(reader, there[1], self.up), self._pass(there[0], writer, self.down)
        )

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                seen += data
                writer.write(data)
        writer.close()


@contextlib.asynccontextmanager
async def border(relay: Covered | None) -> AsyncIterator[tuple[Border, str]]:
    """A border in front of a relay, and the relay's address through it."""
    made = Border(relay.address.port if relay else None)
    async with await asyncio.start_server(made.visit, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        fragment = relay.link.partition("#")[2] if relay else PIN[1:]
        path = relay.address.path if relay else "/path"
        yield made, f"wss://127.0.0.1:{port}{path}#{fragment}"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Either event loop: what cuts the hello must not depend on it."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner


def test_the_hello_is_cut_into_records_and_segments(run: asyncio.Runner) -> None:
    async def main() -> tuple[bytes, bytes]:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            path = DirectPath(SETTINGS, shape=Shape(cut_record=100, cut_segment=50))
            url = f"wss://127.0.0.1:{listener.getsockname()[1]}/secret{PIN}"
            opening = asyncio.create_task(path.websocket(url))
            there, _ = await loop.sock_accept(listener)
            with there:
                # Both segments may lie in the buffer already: the kernel has counted them.
                first = await loop.sock_recv(there, 10_000)
                rest = first if len(first) > 50 else first + await loop.sock_recv(there, 10_000)
                info = there.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
            with contextlib.suppress(PathError):
                await opening
            await path.close()
            # tcpi_data_segs_in (linux/tcp.h)
            return rest, info[152:156]

    hello, segments = run.run(main())
    assert [kind for kind, _ in records(hello)] == [22, 22]
    assert records(hello)[0][1] == 100
    assert sum(size for _, size in records(hello)) >= 300
    assert struct.unpack("=I", segments)[0] == 2


def test_a_conversation_over_a_shaped_connection(run: asyncio.Runner, tmp_path: Path) -> None:
    async def main() -> None:
        async with covered(tmp_path) as relay, border(relay) as (seen, url):
            path = DirectPath(SETTINGS, shape=Shape(cut_record=100))
            socket_ = await path.websocket(url)
            assert (await socket_.receive()).startswith('["AUTH"')
            await socket_.send('["REQ","a",{"ids":["' + "0" * 64 + '"]}]' + " " * 5000)
            assert (await socket_.receive()).startswith('["EOSE","a"')
            await socket_.close()
            http = url.replace("wss", "https", 1)
            headers = {"accept": "application/nostr+json"}
            async with path.request("GET", http, headers) as answer:
                assert answer.status == 200
                assert b"nips" in b"".join([piece async for piece in answer.body])
            for name in (url.partition("#")[0] + "/" + "0" * 64, http.replace("#", "x#")):
                full = name.replace("wss", "https", 1)
                full += "" if "#" in full else "#" + url.partition("#")[2]
                async with path.request("GET", full, {}) as answer:
                    assert answer.status == 404
            await path.close()
            up, down = records(bytes(seen.up)), records(bytes(seen.down))
            assert max(size for _, size in up) <= 1295
            assert max(size for kind, size in down if kind == 23) <= 1295
            assert b"a-secret" not in bytes(seen.up)

    run.run(main())


def test_a_wrong_key_is_told_nothing(run: asyncio.Runner, tmp_path: Path) -> None:
    async def main() -> None:
        async with covered(tmp_path) as relay, border(relay) as (seen, url):
            path = DirectPath(SETTINGS, shape=Shape())
            wrong = url.partition("#")[0] + PIN
            with pytest.raises(PathError, match="certificate"):
                await path.websocket(wrong)
            with pytest.raises(PathError, match="certificate"):
                async with path.request("GET", wrong.replace("wss", "https", 1), {}):
                    pass
            await path.close()
        # Nothing encrypted goes out but perhaps an end: a request would be longer.
        assert [size for kind, size in records(bytes(seen.up)) if kind == 23 and size > 60] == []
        assert bytes(seen.up).count(b"\x16\x03\x01") == 2

    run.run(main())


@pytest.mark.parametrize(
    ("sni", "host", "cover", "shown"),
    [
        (Sni.NONE, "relay.example", "www.example.org", None),
        (Sni.NAME, "relay.example", "www.example.org", "relay.example"),
        (Sni.COVER, "relay.example", "www.example.org", "www.example.org"),
        (Sni.COVER, "relay.example", "", "relay.example"),
        (Sni.COVER, "192.0.2.1", "www.example.org", "www.example.org"),
        (Sni.COVER, "2001:db8::1", "", None),
        (Sni.NAME, "192.0.2.1", "", None),
    ],
)
def test_shown_names(sni: Sni, host: str, cover: str, shown: str | None) -> None:
    assert shown_name(Shape(sni=sni), host, RelayPin(bytes(16), cover)) == shown


@pytest.mark.parametrize("shape", [None, Shape(), Shape(sni=Sni.NONE, alpn=())])
async def test_the_name_on_the_wire(shape: Shape | None) -> None:
    async with border(None) as (seen, url):
        path = DirectPath(SETTINGS, shape=shape)
        with pytest.raises(PathError):
            await path.websocket(f"{url}&sni=www.example.org")
        await path.close()
    hidden = shape is not None and shape.sni is Sni.NONE
    assert (b"www.example.org" in seen.up) is not hidden
    assert (b"http/1.1" in seen.up) is not hidden


def authority(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for this name, and one that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "both.pem").write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "both.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


async def test_without_a_pin_the_certificate_counts_whatever_name_is_shown(tmp_path: Path) -> None:
    server, client = authority(tmp_path, "localhost")
    async with serve(lambda one: one.send("hello"), "127.0.0.1", 0, ssl=server) as running:
        port = running.sockets[0].getsockname()[1]
        for shape in (None, Shape(), Shape(sni=Sni.NONE, cut_record=3, cut_segment=1)):
            path = DirectPath(SETTINGS, client, shape)
            connected = await path.websocket(f"wss://localhost:{port}")
            assert await connected.receive() == "hello"
            await connected.close()
            with pytest.raises(PathError, match="certificate"):
                await path.websocket(f"wss://127.0.0.1:{port}")
            await path.close()
            distrusting = DirectPath(SETTINGS, None, shape)
            with pytest.raises(PathError, match="certificate"):
                await distrusting.websocket(f"wss://localhost:{port}")
            await distrusting.close()


@pytest.mark.parametrize(
    ("names", "host", "good"),
    [
        ([("DNS", "Relay.Example")], "relay.example", True),
        ([("DNS", "*.example.org")], "relay.example.org", True),
        ([("DNS", "*.example.org")], "a.b.example.org", False),
        ([("DNS", "*.example.org")], "example.org", False),
        ([("DNS", "*.org")], "example.org", False),
        ([("DNS", "*")], "org", False),
        ([("DNS", "*.")], "org.", False),
        ([("DNS", "192.0.2.1")], "192.0.2.1", False),
        ([("IP Address", "192.0.2.1")], "192.0.2.1", True),
        ([("IP Address", "2001:DB8:0:0:0:0:0:1")], "2001:db8::1", True),
        ([("email", "relay.example")], "relay.example", False),
        ([], "relay.example", False),
    ],
)
def test_names_in_certificates(names: list[tuple[str, str]], host: str, good: bool) -> None:
    assert certificate_names({"subjectAltName": tuple(names)}, host) is good


@pytest.mark.parametrize("fragment", ["#", "#nonsense", "#" + "A" * 21])
async def test_a_damaged_pin_is_no_connection(fragment: str) -> None:
    path = DirectPath(SETTINGS)
    with pytest.raises(PathError):
        await path.websocket(f"wss://127.0.0.1:1/{fragment}")
    with pytest.raises(PathError):
        async with path.request("GET", f"https://127.0.0.1:1/{fragment}", {}):
            pass
    await path.close()


@given(st.binary(max_size=600), st.integers(1, 600))
def test_cutting_keeps_every_byte(body: bytes, at: int) -> None:
    hello = struct.pack(">BHH", 22, 0x0301, len(body)) + body
    cut = split_hello(hello, at)
    assert records(cut) == ([(22, at), (22, len(body) - at)] if at < len(body) else records(hello))
    assert split_hello(body, at)[:0] == b""


def test_what_a_relay_makes_for_itself_is_small() -> None:
    pem, _ = make_certificate("localhost", datetime(2026, 1, 1, tzinfo=UTC))
    assert len(ssl.PEM_cert_to_DER_cert(pem.decode())) < 500

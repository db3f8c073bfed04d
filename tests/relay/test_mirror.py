"""Blobs fetched from where a client says (BUD-04), and nothing else fetched."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import json
import ssl
from dataclasses import replace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.authority import Authority
from tests.relay.test_blossom import token, upload

from volok.relay.mirror import (
    InvalidSource,
    Mirror,
    NotAllowed,
    Unreachable,
    is_public,
    parse_request,
    parse_source,
)
from volok.relay.settings import RelaySettings

DATA = b"a blob from elsewhere " * 5_000
NAME = hashlib.sha256(DATA).hexdigest()
ANY = RelaySettings(mirror_hosts=("*",))
ONE = RelaySettings(mirror_hosts=("blobs.example", "[2001:db8::1]:8443", "odd.example:8443"))


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "2a00:1450:4001::200e"]
)
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255"),
        *("192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1"),
        *("198.18.0.1", "198.51.100.7", "203.0.113.9", "192.88.99.1", "224.0.0.1"),
        *("240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1"),
        *("64:ff9b:1::1", "2002:7f00:1::", "2001:0:53aa:64c::1", "2001:db8::1", "100::1"),
        *("", "localhost", "127.1"),
    ],
)
def test_addresses_that_are_never_asked(address):
    assert not is_public(address)


@given(st.ip_addresses())
def test_no_address_of_a_private_network_is_public(address):
    private = [
        *map(ipaddress.ip_network, ("10.0.0.0/8", "127.0.0.0/8", "192.168.0.0/16")),
        *map(ipaddress.ip_network, ("169.254.0.0/16", "fc00::/7", "fe80::/10", "::/8")),
    ]
    if any(address in network for network in private):
        assert not is_public(str(address))


@pytest.mark.parametrize(
    ("url", "settings", "port"),
    [
        (f"https://blobs.example/{NAME}", ANY, 443),
        (f"HTTPS://Blobs.Example:443/{NAME}.png?x=1#part", ONE, 443),
        (f"https://odd.example:8443/a/{NAME}", ONE, 8443),
        (f"https://[2001:db8::1]:8443/{NAME}", ONE, 8443),
        (f"http://blobs.example:81/{NAME}", replace(ONE, mirror_private=True), 81),
        (f"http://blobs.example/{NAME}", replace(ANY, mirror_private=True), 80),
    ],
)
def test_sources(url, settings, port):
    source = parse_source(url, NAME, settings)
    assert source.port == port
    assert source.host == source.host.lower()
    assert NAME in source.target
    assert "#" not in source.target


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        (f"https://blobs.example/{NAME}", RelaySettings()),
        (f"https://other.example/{NAME}", ONE),
        (f"https://blobs.example.other.example/{NAME}", ONE),
        (f"https://blobs.example:22/{NAME}", ONE),
        (f"https://blobs.example:8443/{NAME}", ANY),
        (f"http://blobs.example/{NAME}", ANY),
        (f"http://blobs.example:443/{NAME}", ANY),
        (f"https://hidden.onion/{NAME}", ANY),
    ],
)
def test_sources_that_the_operator_does_not_allow(url, settings):
    with pytest.raises(NotAllowed):
        parse_source(url, NAME, settings)


@pytest.mark.parametrize(
    "url",
    [
        *("", "https://", f"https:///{NAME}", "https://blobs.example/", f"blobs.example/{NAME}"),
        *(f"file:///{NAME}", f"ftp://blobs.example/{NAME}", f"https://a b/{NAME}"),
        *(f"https://user:word@blobs.example/{NAME}", f"https://blobs.example\\@x/{NAME}"),
        *(f"https://blobs.example/{NAME}\r\nX: y", f"https://blobs.example/é/{NAME}"),
        *(f"https://blobs.example:99999/{NAME}", f"https://blobs.example?{NAME}"),
        *(f"https://{NAME}/", f"https://blobs.example/#{NAME}", f"https://256.1.1.1/{NAME}"),
    ],
)
def test_what_is_no_source(url):
    with pytest.raises(InvalidSource):
        parse_source(url, NAME, replace(ANY, mirror_private=True))


@given(st.text(max_size=60))
def test_any_text_is_a_source_or_not(text):
    with contextlib.suppress(InvalidSource, NotAllowed):
        parse_source(f"https://{text}/{NAME}", NAME, ANY)


@given(st.binary(max_size=40) | st.sampled_from([b"[]", b"{}", b'{"url":1}', b"[" * 5000]))
def test_any_body_is_a_request_or_not(body):
    with pytest.raises(InvalidSource):
        parse_request(body)


def contexts(folder):
    """The two contexts that go with a certificate for blobs.example."""
    authority = Authority(folder)
    issued = authority.issue(["blobs.example"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(issued.certificate, issued.key)
    return server, ssl.create_default_context(cafile=authority.certificate)


@contextlib.asynccontextmanager
async def origin(answer, context=None):
    """A server that gives this answer to every request; yields its port and what it was asked."""
    asked = []

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer(asked[-1]) if callable(answer) else answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


def whole(data=DATA, *headers):
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + data


async def fetched(mirror, url, name=NAME):
    async with contextlib.aclosing(mirror.fetch(url, name)) as pieces:
        return b"".join([piece async for piece in pieces])


def looked_up(*addresses):
    names = []

    async def resolve(host, port):
        names.append(host)
        return addresses

    return resolve, names


async def test_the_name_is_looked_up_once_and_tls_is_checked_against_it(tmp_path):
    server, trusted = contexts(tmp_path)
    async with origin(whole(), server) as (port, asked):
        settings = RelaySettings(mirror_hosts=("*",), mirror_private=True)
        resolve, names = looked_up("127.0.0.1")
        url = f"https://blobs.example:{port}/{NAME}"
        assert await fetched(Mirror(settings, resolve, trusted), url) == DATA
        assert names == ["blobs.example"]
        head = asked[0].decode().lower()
        assert f"host: blobs.example:{port}" in head
        assert "user-agent" not in head
        for wrong, context in (
            (url.replace("blobs.example", "other.example"), trusted),
            (url, None),
        ):
            with pytest.raises(Unreachable):
                await fetched(Mirror(settings, resolve, context), wrong)


async def test_a_name_that_leads_inside_is_not_connected_to():
    async with origin(whole()) as (port, asked):
        settings = RelaySettings(mirror_hosts=(f"blobs.example:{port}",))
        for inside in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
            resolve, names = looked_up(inside)
            with pytest.raises(Unreachable):
                await fetched(Mirror(settings, resolve), f"https://blobs.example:{port}/{NAME}")
            assert names == ["blobs.example"]
        assert asked == []


async def test_redirects_are_new_urls():
    settings = RelaySettings(mirror_hosts=("127.0.0.1",), mirror_private=True)
    answers = {}

    def answer(request):
        return answers[request.split()[1].decode()]

    def to(place):
        return f"HTTP/1.1 307 Elsewhere\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()

    async with origin(answer) as (port, asked):
        base = f"http://127.0.0.1:{port}"
        answers |= {
            f"/{NAME}": to(f"/cdn/{NAME}.bin"),
            f"/cdn/{NAME}.bin": whole(),
            f"/loop/{NAME}": to(f"/loop/{NAME}"),
            f"/away/{NAME}": to(f"http://localhost:{port}/{NAME}"),
            f"/other/{NAME}": to(f"{base}/secret"),
            f"/file/{NAME}": to(f"file:///etc/{NAME}"),
            f"/nowhere/{NAME}": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
            "/secret": whole(),
        }
        mirror = Mirror(settings)
        assert await fetched(mirror, f"{base}/{NAME}") == DATA
        assert len(asked) == 2
        for path in ("loop", "away", "other", "file", "nowhere"):
            with pytest.raises(Unreachable):
                await fetched(mirror, f"{base}/{path}/{NAME}")
        assert len(asked) == 2 + 4 + 4  # a loop ends


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n\r\nabc",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"",
    ],
)
async def test_whatever_goes_wrong_looks_the_same(start, people, answer):
    async with (
        origin(answer) as (port, _),
        start(mirror_hosts=("*",), mirror_private=True) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        body = {"url": f"http://127.0.0.1:{port}/{NAME}"}
        got = await http.put("/mirror", json=body, headers=token(people[0], blob=NAME))
        assert got.status_code == 502
        assert got.headers["x-reason"] == "The blob could not be fetched from there."
        assert await relay.blobs.names() == []
        assert relay.uploads.time(NAME) is None


async def test_from_one_relay_to_another(start, people, tmp_path):
    (tmp_path / "other").mkdir()
    async with (
        start() as first,
        start(folder=tmp_path / "other", mirror_hosts=("*",), mirror_private=True) as second,
        httpx.AsyncClient(base_url=first.address.http_url) as there,
        httpx.AsyncClient(base_url=second.address.http_url) as here,
    ):
        described = (await upload(there, people[0], DATA)).json()
        headers = token(people[0], blob=NAME)
        got = await here.put("/mirror", json={"url": described["url"]}, headers=headers)
        assert got.status_code == 201, got.headers["x-reason"]
        assert got.json()["sha256"] == NAME
        assert got.json()["nip94"][2:] == [["x", NAME], ["size", str(len(DATA))]]
        assert (await here.get(f"/{NAME}")).content == DATA
        assert second.metrics.blobs_mirrored == second.metrics.blobs_added == 1
        again = await here.put("/mirror", json={"url": described["url"]}, headers=headers)
        assert again.status_code == 200
        assert first.metrics.blobs_served == 1
        delete = token(people[0], "delete", blob=NAME)
        assert (await here.delete(f"/{NAME}", headers=delete)).status_code == 204


async def test_what_is_refused(start, people):
    wrong = b"something else"
    async with (
        origin(whole(wrong)) as (port, asked),
        start(mirror_hosts=("127.0.0.1",), mirror_private=True, max_blob_bytes=10_000) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        url = f"http://127.0.0.1:{port}/{NAME}"
        headers = token(people[0], blob=NAME)
        cases = [
            ({"url": url}, {}, 401),
            ({"url": url}, token(people[0], "delete", blob=NAME), 401),
            ({"url": url.replace(NAME, "secret")}, headers, 400),
            ({"link": url}, headers, 400),
            ({"url": url.replace("127.0.0.1", "localhost")}, headers, 403),
            ({"url": "x" * 9000}, headers, 413),
        ]
        for body, sent, status in cases:
            assert (await http.put("/mirror", json=body, headers=sent)).status_code == status
        assert asked == []
        answer = await http.put("/mirror", content=json.dumps({"url": url}), headers=headers)
        assert answer.status_code == 409
        assert len(asked) == 1
        assert await relay.blobs.names() == []
    async with (
        origin(whole()) as (port, _),
        start(mirror_hosts=("*",), mirror_private=True, max_blob_bytes=10_000) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        body = {"url": f"http://127.0.0.1:{port}/{NAME}"}
        assert (await http.put("/mirror", json=body, headers=headers)).status_code == 413


async def test_a_server_that_never_ends_is_left(start, people):
    hold = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(whole()[:1000])
        await hold.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        start(mirror_hosts=("*",), mirror_private=True, mirror_seconds=0.2) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        body = {"url": f"http://127.0.0.1:{port}/{NAME}"}
        answer = await http.put("/mirror", json=body, headers=token(people[0], blob=NAME))
        assert answer.status_code == 408
        assert await relay.blobs.names() == []
    hold.set()
    server.close()


async def test_by_default_nothing_is_fetched(relay, people):
    async with httpx.AsyncClient(base_url=relay.address.http_url) as http:
        body = {"url": f"https://blobs.example/{NAME}"}
        answer = await http.put("/mirror", json=body, headers=token(people[0], blob=NAME))
        assert answer.status_code == 403

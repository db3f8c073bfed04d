"""Ports, the pages at `/`, silence, and the way out."""

from __future__ import annotations

import asyncio
import logging
import socket

import httpx
import pytest
import websockets

from volok import __version__
from volok.relay.errors import PortInUse, RelayError
from volok.relay.server import listen
from volok.relay.settings import RelaySettings


async def test_a_port_in_use_is_said_so(relay):
    with pytest.raises(PortInUse, match=str(relay.address.port)):
        listen("127.0.0.1", relay.address.port)


@pytest.mark.parametrize("host", ["192.0.2.1", "not a host"])
def test_an_address_that_is_not_ours_is_said_so(host):
    with pytest.raises(RelayError, match="host"):
        listen(host, 0)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(RelayError, match="max_limit"):
        RelaySettings(max_limit=0)


async def test_the_information_document(start):
    async with (
        start(name="Ford", contact="https://relay.example/contact", max_limit=77) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        answer = await http.get("/", headers={"Accept": "application/nostr+json"})
        assert answer.headers["content-type"] == "application/nostr+json"
        assert answer.headers["access-control-allow-origin"] == "*"
        document = answer.json()
        assert document["name"] == "Ford"
        assert document["version"] == __version__
        assert document["contact"] == "https://relay.example/contact"
        assert document["limitation"]["max_limit"] == 77
        assert {1, 9, 11, 40, 42} <= set(document["supported_nips"])


async def test_a_stranger_sees_an_ordinary_page(relay):
    async with httpx.AsyncClient(base_url=relay.address.http_url) as http:
        answer = await http.get("/")
        assert answer.status_code == 200
        text = (answer.text + str(answer.headers)).lower()
        assert not any(word in text for word in ("nostr", "volok", "relay", "uvicorn"))
        assert (await http.get("/anything/else")).status_code == 404
        assert (await http.post("/")).status_code == 404


async def test_nothing_is_logged_at_any_level(start, people, caplog):
    caplog.set_level(logging.DEBUG)
    root = logging.getLogger()
    root.setLevel(0)
    secret = "a text that must not be in any log"
    async with (
        start() as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        client = await relay.connect(logger=logging.Logger("the client's own"))
        await client.publish(people[0].event(content=secret))
        await client.socket.send("malformed")
        await client.receive()
        await http.get("/", headers={"User-Agent": secret})
        await http.get(f"/{'00' * 32}")
        await client.socket.close()
    ours = [record for record in caplog.records if not record.name.startswith("http")]
    text = "\n".join(record.getMessage() for record in ours)
    assert secret not in text
    assert "127.0.0.1" not in text
    assert people[0].pubkey not in text
    assert not [record.name for record in ours if record.name.startswith(("uvicorn", "websock"))]


async def test_leaving_closes_connections_and_frees_the_port(start):
    async with start() as relay:
        client = await relay.connect()
        relay._stack.pop_all()
        port = relay.address.port
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await client.receive()
    assert closed.value.rcvd.code == 1012
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


async def test_a_client_that_never_reads_does_not_hold_the_exit_up(start, people):
    async with asyncio.timeout(15):
        async with start(max_content_length=200_000, max_message_length=300_000) as relay:
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.address.port)
            writer.write(
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            assert (await reader.readline()).startswith(b"HTTP/1.1 101")
        writer.close()

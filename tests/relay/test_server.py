"""Ports, the pages at `/`, silence, and the way out."""

from __future__ import annotations

import asyncio
import logging
import os
import socket

import httpx
import pytest
import websockets

from volok import __version__
from volok.model.filters import Filter
from volok.relay import fanout, server, session, websocket
from volok.relay.errors import PortInUse, RelayError
from volok.relay.server import listen
from volok.relay.settings import RelaySettings
from volok.store.memory_store import MemoryStore
from volok.store.store import StoreError

NOW = 1_800_000_000


async def test_a_port_in_use_is_said_so(relay):
    with pytest.raises(PortInUse, match=str(relay.address.port)):
        listen("127.0.0.1", relay.address.port)


@pytest.mark.parametrize("host", ["192.0.2.1", "not a host"])
def test_an_address_that_is_not_ours_is_said_so(host):
    with pytest.raises(RelayError, match="host"):
        listen(host, 0)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"max_limit": 0}, "max_limit"),
        ({"blob_days": -1}, "blob_days"),
        ({"public_urls": ("https://relay.example",)}, "address"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, word):
    with pytest.raises(RelayError, match=word):
        RelaySettings(**changes)


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
    caplog.set_level(1)
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


async def test_a_client_that_never_reads_is_given_up_and_does_not_hold_the_exit_up(
    start, people, monkeypatch
):
    monkeypatch.setattr(server, "_GRACE_SECONDS", 1)
    monkeypatch.setattr(websocket, "GRACE_SECONDS", 1)
    monkeypatch.setattr(session, "_FAREWELL_SECONDS", 0.2)
    request = (
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    subscribe = b'["REQ","a",{}]'
    # A text frame with the mask 0 (RFC 6455, section 5.2).
    frame = bytes([0x81, 0x80 | len(subscribe)]) + bytes(4) + subscribe
    async with asyncio.timeout(30):
        async with start(max_queue_messages=4) as relay:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", relay.address.port, limit=1000
            )
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(frame)
            client = await relay.connect()
            while not relay.metrics.slow_readers:
                await client.publish(people[0].event(content=os.urandom(30_000).hex()))
            # Its socket is given up although it never took what it was sent.
            with pytest.raises(ConnectionError):
                await _write_for_ever(writer)
        writer.close()


async def _write_for_ever(writer):
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_the_log_is_followed_again_after_a_failure(people, monkeypatch):
    class Listener:
        entries: asyncio.Queue = asyncio.Queue()

        def entry_appeared(self, subscriptions, entry, frames):
            self.entries.put_nowait(entry)

    class FailingStore(MemoryStore):
        failures = 2

        def follow(self, after):
            if self.failures:
                self.failures -= 1
                raise StoreError
            return super().follow(after)

    monkeypatch.setattr(fanout, "_RETRY_SECONDS", 0)
    store, listener = FailingStore(), Listener()
    feeding = fanout.Fanout(store, lambda: NOW)
    feeding.index.add(listener, "all", [Filter()])
    running = asyncio.create_task(feeding.run())
    event = people[0].event()
    await store.add([event], NOW)
    async with asyncio.timeout(5):
        assert (await listener.entries.get()).event == event
    running.cancel()

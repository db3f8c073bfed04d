"""The port for monitoring: numbers, health, and nothing about anybody."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import fields

import httpx
import pytest
import websockets

from volok.relay.errors import PortInUse
from volok.relay.metrics import Metrics
from volok.relay.observing import Health, exposition, observed
from volok.relay.run import run_relay
from volok.relay.settings import RelaySettings
from volok.store.memory_store import MemoryStore
from volok.store.store import StoreError

from .conftest import CRYPTO, NOW

SAMPLE = re.compile(r"volok_relay_[a-z_]+ [0-9.]+")


def test_the_format_of_prometheus() -> None:
    metrics = Metrics(connections=3, events_added=7)
    lines = exposition(metrics).splitlines()
    assert "volok_relay_connections 3" in lines
    assert "# TYPE volok_relay_connections gauge" in lines
    assert "volok_relay_events_added_total 7" in lines
    assert "# TYPE volok_relay_events_added_total counter" in lines
    samples = [line for line in lines if not line.startswith("#")]
    assert len(samples) == len(set(samples)) == len(fields(Metrics))
    assert all(SAMPLE.fullmatch(line) for line in samples)  # no label anywhere
    names = [line.split()[0] for line in samples]
    assert len(set(names)) == len(names)


async def test_a_relay_and_its_numbers(tmp_path, people) -> None:
    ports: list[int] = []

    async def port_of_the_metrics() -> int:
        listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with listener:
            return listener.sockets[0].getsockname()[1]

    ports.append(await port_of_the_metrics())
    relay = run_relay(
        "127.0.0.1", 0, tmp_path, RelaySettings(), CRYPTO, lambda: NOW, metrics_port=ports[0]
    )
    async with relay as address, httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports[0]}") as http:
        async with websockets.connect(address.websocket_url) as client:
            await client.recv()
            event = people[0].event(1, "content-of-somebody")
            await client.send(f'["EVENT",{event.to_json().decode()}]')
            assert json.loads(await client.recv())[2] is True
            answer = await http.get("/metrics", headers={"User-Agent": "agent-of-somebody"})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "volok_relay_connections 1\n" in answer.text
        assert "volok_relay_events_added_total 1\n" in answer.text
        for secret in (event.id, event.pubkey, "somebody", "127.0.0.1"):
            assert secret not in answer.text
        well = await http.get("/health")
        assert (well.status_code, well.text) == (200, "ok\n")
        assert (await http.get("/")).status_code == 404
        assert (await http.post("/metrics")).status_code == 405
        assert (await http.get("/metrics", headers={"Host": "evil.example"})).status_code == 403
        assert (await http.head("/health")).content == b""


@pytest.mark.parametrize(
    "request_", [b"", b"\r\n\r\n", b"x" * 100_000, b"GET / HTTP/9.9\r\n\r\n", b"\xff\x00\r\n\r\n"]
)
async def test_what_is_no_request_is_dropped(request_: bytes) -> None:
    async with observed(0, Metrics(), lambda: asyncio.sleep(0, True)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_)
        writer.write_eof()
        with_reset = asyncio.gather(reader.read(), return_exceptions=True)
        assert b"200" not in (await asyncio.wait_for(with_reset, 10))[0:1]
        writer.close()
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"http://127.0.0.1:{port}/health")).status_code == 200


async def test_a_port_in_use() -> None:
    async with observed(0, Metrics(), lambda: asyncio.sleep(0, True)) as port:
        with pytest.raises(PortInUse):
            async with observed(port, Metrics(), lambda: asyncio.sleep(0, True)):
                pass


async def test_health_follows_the_store() -> None:
    store, metrics, time = MemoryStore(), Metrics(), [100.0]
    health = Health(store, metrics, lambda: time[0])
    assert await health.is_well()
    metrics.store_failures += 1  # a write failed
    assert not await health.is_well()
    assert not await health.is_well()
    metrics.events_added += 1  # and a later one did not
    assert await health.is_well()
    metrics.store_failures += 1
    assert not await health.is_well()
    time[0] += 31  # nobody writes: whoever balances the load may try again
    assert await health.is_well()
    await store.close()
    assert not await health.is_well()


async def test_a_store_that_cannot_be_read_is_503(monkeypatch) -> None:
    store = MemoryStore()

    async def fails(*_arguments):
        raise StoreError

    monkeypatch.setattr(store, "query", fails)
    health = Health(store, Metrics(), lambda: 0.0)
    async with observed(0, Metrics(), health.is_well) as port, httpx.AsyncClient() as http:
        answer = await http.get(f"http://127.0.0.1:{port}/health")
        assert answer.status_code == 503
        assert "store" in answer.text

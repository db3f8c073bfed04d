from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import httpx
import pytest

from volok.app.node import Node
from volok.app.serving import serve_node
from volok.app.settings import NodeSettings
from volok.model.event import sign_event
from volok.model.filters import Filter
from volok.native import NativeCrypto
from volok.relay.errors import PortInUse

NOW = 1_800_000_000


async def test_open_streams_do_not_keep_the_node_from_stopping(tmp_path: Path) -> None:
    node = Node(tmp_path / "home", background=True)
    await node.start()
    await node.create("Alice", [], None)
    serving = serve_node(node, 0, lambda: float(NOW))
    served = await serving.__aenter__()
    async with httpx.AsyncClient(follow_redirects=True) as browser:
        assert (await browser.get(served.page())).status_code == 200
        events = f"http://127.0.0.1:{served.port}/events"
        async with browser.stream("GET", events) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            # Without being dropped, the stream would hold the server for its grace of 5 seconds.
            await asyncio.wait_for(serving.__aexit__(None, None, None), 4)
    assert node.home.read_run() is None
    await node.stop()


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    first, second = Node(tmp_path / "first"), Node(tmp_path / "second")
    await first.start()
    await second.start()
    async with serve_node(first, 0, lambda: float(NOW)) as served:
        with pytest.raises(PortInUse):
            async with serve_node(second, served.port, lambda: float(NOW)):
                pass
        second.settings = NodeSettings(port=served.port)
        async with serve_node(second, None, lambda: float(NOW)) as other:
            assert other.port not in (0, served.port)
            assert stat.S_IMODE(second.home.run.stat().st_mode) == 0o600
    await first.stop()
    await second.stop()


async def test_what_has_expired_is_erased_by_a_node_that_is_up(tmp_path: Path) -> None:
    clock = float(NOW)
    crypto = NativeCrypto()
    settings = NodeSettings(sweep_every=0.01)
    node = Node(tmp_path / "home", settings, background=True, now=lambda: clock)
    await node.start()
    await node.create("Alice", [], None)
    try:
        store = node._open().store
        tags = [("expiration", str(NOW + 60))]
        event = sign_event(crypto, crypto.random(32), NOW, 1, tags, "brief")
        await store.add([event], NOW)
        clock = NOW + 120.0
        async with asyncio.timeout(10):
            while await store.count([Filter(ids=frozenset({event.id}))], NOW):
                await asyncio.sleep(0.01)
    finally:
        await node.stop()
    assert node.state == "locked"

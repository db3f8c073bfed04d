"""A real server on loopback and a real Chromium for it."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn
from playwright.async_api import Browser, Playwright
from starlette.applications import Starlette

from volok.app.web import create_app, one_time_link

from .conftest import settings
from .fake_node import FakeNode

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]


@dataclass
class Site:
    """A served node."""

    node: FakeNode
    app: Starlette
    base: str

    def link(self) -> str:
        """A one-time link."""
        return one_time_link(self.app)

    def show(self, node: FakeNode) -> None:
        """Serve another node from here on; a server and a browser serve many tests."""
        self.node = node
        self.app.state.web = replace(self.app.state.web, node=node)


@asynccontextmanager
async def serve(node: FakeNode, folder: Path, **changes: object) -> AsyncIterator[Site]:
    """Serve a node on a port of the system's choice."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    app = create_app(node, settings(folder, port, **changes))
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=0, loop="none")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield Site(node, app, f"http://volok.localhost:{port}")
    finally:
        server.should_exit = True
        await running
        listener.close()


async def launch(playwright: Playwright, *flags: str) -> Browser:
    """Start the system's Chromium with an empty profile."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise RuntimeError("Chromium is needed for these tests; install the package `chromium`.")
    return await playwright.chromium.launch(
        executable_path=chromium, args=[*FLAGS, *flags], ignore_default_args=["--headless=old"]
    )

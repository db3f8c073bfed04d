"""Shared by the tests of the web app: an app over a fake node, and a browser that came in."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Callable
from datetime import UTC
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from volok.app.web import WebSettings, create_app, one_time_link

from .fake_node import NOW, FakeNode, FolderScratch

PORT = 8765
BASE = f"http://volok.localhost:{PORT}"


def settings(folder: Path, port: int = PORT, **changes: object) -> WebSettings:
    """Settings with a still clock and numbers that are the same in every run."""
    count = itertools.count()

    def random(length: int) -> bytes:
        return hashlib.shake_256(str(next(count)).encode()).digest(length)

    values: dict[str, object] = {
        "port": port,
        "now": lambda: NOW,
        "random": random,
        "scratch": FolderScratch(folder),
        "zone": UTC,
    }
    return WebSettings(**(values | changes))  # type: ignore[arg-type]


def client(app: Starlette, **headers: str) -> httpx.AsyncClient:
    """A browser on our own pages, without the cookie yet."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url=BASE,
        headers={"Sec-Fetch-Site": "same-origin"} | headers,
    )


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def make_app(tmp_path: Path) -> Callable[..., Starlette]:
    return lambda node, **changes: create_app(node, settings(tmp_path, **changes))


@pytest.fixture
def app(node: FakeNode, make_app: Callable[..., Starlette]) -> Starlette:
    return make_app(node)


@pytest.fixture
async def browser(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that came through the one-time link."""
    async with client(app) as opened:
        await opened.get(one_time_link(app))
        yield opened

"""The first run, locking and unlocking, panic, restoring."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from starlette.applications import Starlette

from volok.app.web import one_time_link
from volok.app.web.idle import IdleLock
from volok.app.web.interface import Preferences

from .conftest import client
from .fake_node import FakeNode


async def _opened(app: Starlette) -> httpx.AsyncClient:
    browser = client(app)
    await browser.get(one_time_link(app))
    return browser


async def test_first_run(make_app: Callable[..., Starlette]) -> None:
    node = FakeNode("new")
    browser = await _opened(make_app(node))
    response = await browser.post("/welcome", data={"name": " "})
    assert (response.status_code, node.state) == (422, "new")
    data = {"name": "Mira", "passphrase": "one", "again": "two", "relays": "wss://a.example"}
    response = await browser.post("/welcome", data=data)
    assert (response.status_code, node.state) == (422, "new")
    assert 'value="Mira"' in response.text
    assert "wss://a.example" in response.text
    response = await browser.post("/welcome", data=data | {"again": "one", "relays": "a.example"})
    assert "This is no relay address" in response.text
    response = await browser.post("/welcome", data=data | {"again": "one"})
    assert response.headers["location"] == "/begin"
    assert (node.chat.own_name, node.passphrase, node.state) == ("Mira", "one", "open")
    assert [relay.url for relay in node.relays] == ["wss://a.example"]


async def test_unlocking(make_app: Callable[..., Starlette]) -> None:
    node = FakeNode("locked", passphrase="right words")
    browser = await _opened(make_app(node))
    response = await browser.post("/unlock", data={"passphrase": "wrong"})
    assert (response.status_code, node.state) == (422, "locked")
    assert "keyboard layout" in response.text
    response = await browser.post("/unlock", data={"passphrase": "right words"})
    assert (response.headers["location"], node.state) == ("/", "open")
    await browser.post("/lock")
    assert node.state == "locked"


async def test_panic(browser: httpx.AsyncClient, node: FakeNode) -> None:
    response = await browser.post("/panic")
    assert (response.headers["location"], node.state) == ("/destroyed", "destroyed")


async def test_restoring(make_app: Callable[..., Starlette]) -> None:
    node = FakeNode("new")
    browser = await _opened(make_app(node))
    response = await browser.post("/restore", data={"code": "x"})
    assert "choose the backup" in response.text
    response = await browser.post("/restore", files={"backup": ("b", b"x")}, data={"code": "x"})
    assert "not a backup" in response.text
    files = {"backup": ("b", b"backup")}
    response = await browser.post("/restore", files=files, data={"code": "x"})
    assert (response.headers["location"], node.state) == ("/", "open")


async def test_locks_after_idle_time() -> None:
    now = [0.0]
    node = FakeNode()
    idle = IdleLock(node, lambda: now[0])
    now[0] = 10_000
    await idle.check()
    assert node.state == "open", "no limit is set"
    node.chosen = Preferences(auto_lock_minutes=5)
    idle.touch()
    now[0] += 299
    await idle.check()
    assert node.state == "open"
    idle.touch()
    now[0] += 299
    await idle.check()
    assert node.state == "open", "an action puts it off"
    now[0] += 1
    await idle.check()
    assert node.state == "locked"


async def test_actions_put_the_lock_off(make_app: Callable[..., Starlette]) -> None:
    now = [0.0]
    node = FakeNode()
    app = make_app(node, now=lambda: now[0])
    browser = await _opened(app)
    node.chosen = Preferences(auto_lock_minutes=1)
    now[0] = 59
    await browser.get("/status")
    await browser.post("/awake")
    now[0] = 61
    await app.state.web.idle.check()
    assert node.state == "open"
    now[0] = 119
    await app.state.web.idle.check()
    assert node.state == "locked", "what a page fetches by itself is no action"

"""Contacts, invites, settings, and what is carried by hand."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from volok.app.web.interface import Preferences
from volok.chat.views import ContactState

from .fake_node import FakeNode


@pytest.fixture
def vera(node: FakeNode) -> str:
    return node.chat.add_contact("Vera")


@pytest.mark.parametrize(
    ("data", "field", "value"),
    [
        ({"what": "name", "name": "Verochka"}, "name", "Verochka"),
        ({"what": "name", "name": " "}, "name", "Vera"),
        ({"what": "timer", "seconds": "3600"}, "timer", 3600),
        ({"what": "mute", "on": "1"}, "muted", True),
        ({"what": "pin", "on": "1"}, "pinned", True),
        ({"what": "block", "on": "1"}, "state", ContactState.BLOCKED),
        ({"what": "verify", "on": "1"}, "verified", True),
    ],
)
async def test_contact_changes(
    browser: httpx.AsyncClient, node: FakeNode, vera: str,
    data: dict[str, str], field: str, value: object,
) -> None:  # fmt: skip
    response = await browser.post(f"/c/{vera}/about", data=data)
    assert response.headers["location"] == f"/c/{vera}/about"
    assert getattr(node.chat.people[vera], field) == value
    assert (await browser.get(f"/c/{vera}/about")).status_code == 200


@pytest.mark.parametrize("seconds", ["", "-1", "x", "²", "99999999999999999999999"])
async def test_timers_out_of_bounds(browser: httpx.AsyncClient, vera: str, seconds: str) -> None:
    data = {"what": "timer", "seconds": seconds}
    assert (await browser.post(f"/c/{vera}/about", data=data)).status_code in (400, 413)


async def test_accepting_a_key_and_forgetting(browser: httpx.AsyncClient, node: FakeNode) -> None:
    id = node.chat.add_contact("Pavel", ContactState.KEY_CHANGED)
    assert "on hold" in (await browser.get(f"/c/{id}")).text
    await browser.post(f"/c/{id}/about", data={"what": "accept-key"})
    assert node.chat.people[id].state is ContactState.ACTIVE
    response = await browser.post(f"/c/{id}/about", data={"what": "forget"})
    assert (response.headers["location"], id in node.chat.people) == ("/", False)


async def test_comparing_safety_numbers(
    browser: httpx.AsyncClient, node: FakeNode, vera: str
) -> None:
    number = await node.chat.safety_number(vera)
    page = (await browser.get(f"/c/{vera}/about")).text
    assert all(f"<span>{number.digits[at : at + 5]}</span>" in page for at in range(0, 60, 5))
    assert (await browser.get(f"/c/{vera}/safety.svg")).text.startswith("<svg")
    response = await browser.post(f"/c/{vera}/compare", data={"code": "other"})
    assert "The codes differ" in response.text
    assert not node.chat.people[vera].verified
    response = await browser.post(f"/c/{vera}/compare", data={"code": number.code})
    assert "safety numbers match" in response.text
    assert node.chat.people[vera].verified


async def test_invites(browser: httpx.AsyncClient, node: FakeNode) -> None:
    response = await browser.post("/invites", data={"days": "30", "multiple": "1"})
    (made,) = node.chat.made
    path = f"/invites/{made.id}"
    assert (response.headers["location"], made.multiple) == (path, True)
    assert made.link in (await browser.get(path)).text
    assert (await browser.get(f"{path}/code.svg")).headers["content-type"] == "image/svg+xml"
    file = await browser.get(f"{path}/file")
    assert file.content == b"invite " + made.id.encode()
    assert ".volok" in file.headers["content-disposition"]
    assert path in (await browser.get("/invites")).text
    await browser.post(f"{path}/revoke")
    assert "not good any more" in (await browser.get(path)).text
    assert path not in (await browser.get("/invites")).text
    assert (await browser.get("/invites/00")).status_code == 404
    assert (await browser.post("/invites", data={"days": "999"})).status_code == 400


async def test_accepting(browser: httpx.AsyncClient, node: FakeNode) -> None:
    response = await browser.post("/accept", data={"link": "https://x.example/<b>"})
    assert response.status_code == 422
    assert "not an invite" in response.text
    assert "https://x.example/&lt;b&gt;</textarea>" in response.text
    response = await browser.post("/accept", data={"link": " volok:abc "})
    assert response.headers["location"].startswith("/c/")
    response = await browser.post("/accept", files={"file": ("i.volok", b"nothing")})
    assert "This file is not an invite." in response.text
    response = await browser.post("/accept", files={"file": ("i.volok", b"invite x")})
    assert response.headers["location"].startswith("/c/")
    assert node.chat.accepted == ["volok:abc", "volok:file"]


async def test_settings(browser: httpx.AsyncClient, node: FakeNode) -> None:
    async def change(**data: str) -> httpx.Response:
        return await browser.post("/settings", data=data)

    assert (await change(what="name", name="Mirabel")).headers["location"].endswith("#name")
    assert node.chat.own_name == "Mirabel"
    assert (await change(what="name", name="")).status_code == 422
    await change(what="relays", url="wss://a.example")
    assert "wss://a.example" in (await browser.get("/settings")).text
    assert "no relay address" in (await change(what="relays", url="a.example")).text
    await change(what="relays", remove="wss://a.example")
    assert node.relays == ()
    await change(what="auto-lock", minutes="5")
    await change(what="language", language="ru")
    await change(what="notifications", on="1")
    assert node.chosen == Preferences("ru", 5, True)
    assert "Сохранено" in (await browser.get("/settings?done=language")).text
    await change(what="language", language="")
    await change(what="timer", seconds="86400")
    assert node.chat.timer == 86400
    assert (await change(what="auto-lock", minutes="5000")).status_code == 400
    assert (await change(what="other")).status_code == 400


async def test_passphrase(browser: httpx.AsyncClient, node: FakeNode) -> None:
    async def change(old: str, new: str, again: str) -> str:
        data = {"what": "passphrase", "old": old, "new": new, "again": again}
        return (await browser.post("/settings", data=data)).text

    assert "There is no passphrase" in (await browser.get("/settings")).text
    assert "differ" in await change("", "one", "two")
    assert node.passphrase is None
    await change("", "one", "one")
    assert node.passphrase == "one"
    assert "does not open the vault" in await change("wrong", "two", "two")
    assert node.passphrase == "one"


async def test_backup_is_given_once(
    browser: httpx.AsyncClient, node: FakeNode, tmp_path: Path
) -> None:
    page = (await browser.post("/backup")).text
    assert "4TQX-9M2K" in page
    link = "/downloads/" + page.split('href="/downloads/')[1].partition('"')[0]
    assert (await browser.get(link)).content == b"backup"
    assert (await browser.get(link)).status_code == 404
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    node.passphrase = "words"
    assert "Your passphrase opens it" in (await browser.post("/backup")).text


async def test_bundles(browser: httpx.AsyncClient, vera: str, tmp_path: Path) -> None:
    assert f'value="{vera}" selected' in (await browser.get(f"/carry?contact={vera}")).text
    page = (await browser.post("/carry/export", data={"contact": vera})).text
    assert "3 messages are packed." in page
    link = "/downloads/" + page.split('href="/downloads/')[1].partition('"')[0]
    assert (await browser.get(link)).content == b"bundle"
    assert "choose a file" in (await browser.post("/carry/import")).text
    page = (await browser.post("/carry/import", files={"file": ("b", b"junk")})).text
    assert "carries no messages" in page
    page = (await browser.post("/carry/import", files={"file": ("b", b"bundle")})).text
    assert "3 new items came in." in page
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"

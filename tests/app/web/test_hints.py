"""The page about relays that contacts tell each other of."""

from __future__ import annotations

import httpx
import pytest

from volok.app.web.interface import RelayStatus
from volok.chat.views import ChatError

from .fake_node import FakeNode

SPARE = "wss://spare.example"


async def test_what_was_told_is_shown_kept_and_removed(
    browser: httpx.AsyncClient, node: FakeNode
) -> None:
    assert "Nobody told you" in (await browser.get("/hints")).text
    node.places.hear(SPARE, "relay", "Anna", "<b>Boris</b>", used=True, works=True)
    page = (await browser.get("/hints")).text
    assert "From Anna, &lt;b&gt;Boris&lt;/b&gt;" in page
    assert "in use now" in page
    response = await browser.post("/hints", data={"what": "keep", "place": SPARE})
    assert response.headers["location"] == "/hints?done=keep#top"
    page = (await browser.get("/hints?done=keep")).text
    assert "It is one of yours" in page
    assert "Make it mine" not in page
    assert 'role="status"' in page
    await browser.post("/hints", data={"what": "remove", "place": SPARE})
    assert node.places.told == []


async def test_sharing_and_taking_back(browser: httpx.AsyncClient, node: FakeNode) -> None:
    node.relays = (RelayStatus(SPARE, "connected"),)
    anna = node.chat.add_contact("Anna")
    assert "nobody is told to use it" in (await browser.get("/hints")).text
    await browser.post("/hints", data={"what": "share", "place": SPARE})
    await browser.post(
        "/hints", data={"what": "share", "place": "mailto:a@b.example", "contact": anna}
    )
    assert [(one.place, one.contacts) for one in node.places.known] == [
        (SPARE, ()),
        ("mailto:a@b.example", (anna,)),
    ]
    page = (await browser.get("/hints")).text
    assert "nobody is told to use it" not in page
    assert "For Anna" in page
    await browser.post("/hints", data={"what": "unshare", "place": SPARE})
    assert len(node.places.known) == 1


async def test_what_is_refused_is_said_and_can_be_mended(
    browser: httpx.AsyncClient, node: FakeNode
) -> None:
    node.places.failure = ChatError("The address leads into a local network.")
    data = {"what": "share", "place": 'wss://192.168.1.1/"><script>'}
    response = await browser.post("/hints", data=data)
    assert response.status_code == 422
    assert "local network" in response.text
    assert 'value="wss://192.168.1.1/&#34;&gt;&lt;script&gt;"' in response.text


async def test_the_status_says_who_carries(browser: httpx.AsyncClient, node: FakeNode) -> None:
    node.relays = (RelayStatus("wss://gone.example", "failed"),)
    assert "No connection" in (await browser.get("/hints")).text
    node.heard = (RelayStatus(SPARE, "connected"),)
    assert "Connected through a relay from a contact." in (await browser.get("/hints")).text


async def test_switching(browser: httpx.AsyncClient, node: FakeNode) -> None:
    await browser.post("/hints", data={"what": "switch", "on": "0"})
    assert not node.places.on
    assert "None of them is used" in (await browser.get("/hints")).text
    await browser.post("/hints", data={"what": "switch", "on": "1"})
    assert node.places.on


@pytest.mark.parametrize("data", [{}, {"what": "other"}])
async def test_nonsense(browser: httpx.AsyncClient, data: dict[str, str]) -> None:
    assert (await browser.post("/hints", data=data)).status_code == 400


async def test_a_locked_node_shows_nothing(browser: httpx.AsyncClient, node: FakeNode) -> None:
    await node.become("locked")
    assert (await browser.get("/hints")).headers["location"].startswith("/unlock")
    response = await browser.post("/hints", data={"what": "share", "place": SPARE})
    assert response.headers["location"].startswith("/unlock")
    assert node.places.known == []

"""Every page renders, in both languages, with hostile texts, and in every state of the node."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser

import httpx
import pytest
from starlette.applications import Starlette

from volok.app.web import one_time_link
from volok.app.web.interface import NodeState, Preferences

from .conftest import client
from .fake_node import FakeNode
from .scenes import HOSTILE, rich

PAGES = (
    "/", "/begin", "/search", "/invites", "/invites/{invite}", "/accept", "/settings", "/backup",
    "/carry", "/status", "/conversations", "/c/{id}", "/c/{id}/about", "/c/{id}/head",
    "/m/{message}/menu", "/m/{message}", "/c/{id}/older?before=60",
)  # fmt: skip


class _Outline(HTMLParser):
    """Collects what a test wants to know of a page, and fails on what the CSP would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.language = ""
        self.headings = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert "style" not in values, "inline styles are refused by the CSP"
        assert not [name for name in values if name.startswith("on")], "so are inline handlers"
        if tag == "script":
            assert (values.get("src") or "").startswith("/static/")
        if tag == "html":
            self.language = values.get("lang") or ""
        if tag == "h1":
            self.headings += 1
        if values.get("id"):
            self.ids.append(values["id"] or "")


def outline(response: httpx.Response) -> _Outline:
    parser = _Outline()
    parser.feed(response.text)
    assert len(parser.ids) == len(set(parser.ids)), "ids are used once"
    return parser


@pytest.mark.parametrize("code", ["en", "ru"])
@pytest.mark.parametrize("page", PAGES)
async def test_pages_render(
    browser: httpx.AsyncClient, node: FakeNode, page: str, code: str
) -> None:
    anna = rich(node)
    invite = (await node.chat.invite()).id
    browser.headers["Accept-Language"] = code
    messages = await node.chat.messages(anna, limit=1000)
    for message in messages if "{message}" in page else messages[:1]:
        path = page.format(id=anna, invite=invite, message=message.id)
        response = await browser.get(path)
        assert response.status_code == 200, path
        seen = outline(response)
        if seen.language:
            assert (seen.language, seen.headings) == (code, 1)
            assert ("Настройки" in response.text) is (code == "ru" and page != "/begin")


async def test_every_conversation_renders(browser: httpx.AsyncClient, node: FakeNode) -> None:
    rich(node)
    for id in list(node.chat.people):
        for path in (f"/c/{id}", f"/c/{id}/about"):
            outline(await browser.get(path))


async def test_hostile_texts_are_shown_as_text(browser: httpx.AsyncClient, node: FakeNode) -> None:
    rich(node)
    hostile = next(one.id for one in node.chat.people.values() if one.name == HOSTILE)
    node.chat.own_name = HOSTILE
    found = await browser.post("/search", data={"text": HOSTILE})
    settings = await browser.post("/settings", data={"what": "relays", "url": HOSTILE})
    accepted = await browser.post("/accept", data={"link": HOSTILE})
    for response in (
        await browser.get("/"),
        await browser.get(f"/c/{hostile}"),
        await browser.get(f"/c/{hostile}/about"),
        await browser.get("/begin"),
        await browser.get("/carry"),
        found,
        settings,
        accepted,
    ):
        outline(response)
        assert "<script>alert" not in response.text
        assert "<img src=x" not in response.text
        assert "&lt;script&gt;alert(1)" in response.text
        assert "{{ 7*7 }}" in response.text, "no template runs twice"


@pytest.mark.parametrize(
    ("state", "place"),
    [("new", "/welcome"), ("locked", "/unlock"), ("destroyed", "/destroyed")],
)
async def test_closed_nodes_lead_to_their_page(
    make_app: Callable[..., Starlette], state: NodeState, place: str
) -> None:
    app = make_app(FakeNode(state))
    async with client(app) as browser:
        await browser.get(one_time_link(app))
        for path in ("/", "/settings", "/search", "/c/ab", "/files/ab", "/invites",
                     "/backup", "/carry", "/begin", "/status"):  # fmt: skip
            response = await browser.get(path)
            assert (response.status_code, response.headers["location"]) == (303, place), path
        response = await browser.get("/status", headers={"HX-Request": "true"})
        assert (response.status_code, response.headers["hx-redirect"]) == (204, place)
        assert (await browser.get(place)).status_code == 200
        for other in {"/welcome", "/unlock", "/destroyed", "/restore"} - {place}:
            expected = 200 if (state, other) == ("new", "/restore") else 303
            assert (await browser.get(other)).status_code == expected


async def test_language_by_preference(browser: httpx.AsyncClient, node: FakeNode) -> None:
    node.chosen = Preferences(language="ru")
    assert outline(await browser.get("/settings")).language == "ru"
    node.chosen = Preferences(language="xx")
    browser.headers["Accept-Language"] = "de, ru-RU;q=0.8, en;q=0.5"
    assert outline(await browser.get("/settings")).language == "ru"


async def test_missing_things_are_said(browser: httpx.AsyncClient) -> None:
    assert "There is nothing here" in (await browser.get("/nothing")).text
    response = await browser.get("/c/ab")
    assert response.status_code == 422
    assert "There is no such contact." in response.text
    response = await browser.get("/m/ab", headers={"HX-Request": "true"})
    assert (response.status_code, "<html" in response.text) == (422, False)

"""The page for paths."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from volok.app import lan
from volok.app.path_making import DIRECT, SHAPES
from volok.app.ways import Ways
from volok.app.web import paths_words
from volok.app.web.i18n import language
from volok.app.web.interface import NodeError
from volok.app.web.paths_interface import WayTrial
from volok.app.web.paths_offers import OFFERS
from volok.paths import drop, mail, proxy, s3, sftp, tor, webdav

from .fake_censor import walk_out
from .fake_node import FakeNode
from .scenes import HOSTILE


@pytest.fixture
def out(node: FakeNode) -> FakeNode:
    walk_out(node)
    return node


async def test_every_way_is_shown(browser: httpx.AsyncClient, out: FakeNode) -> None:
    page = (await browser.get("/paths")).text
    for row in out.out.listed:
        assert row.name in page
    assert page.count("in use now") == 2
    assert "There is no space left" in page
    assert "3 files of yours lie there, 49 kB" in page
    assert "secret" not in page, "the secret path of a relay is not for the screen"
    assert 'href="/paths"' in (await browser.get("/settings")).text


async def test_names_of_others_are_text(browser: httpx.AsyncClient, out: FakeNode) -> None:
    await browser.post("/paths/add", data={"kind": "folder", "where": HOSTILE})
    assert HOSTILE not in (await browser.get("/paths")).text


async def test_adding(browser: httpx.AsyncClient, node: FakeNode) -> None:
    answer = await browser.post("/paths/add", data={"kind": "folder", "where": "/media/stick"})
    assert answer.headers["location"] == "/paths?done=add#top"
    data = {"kind": "webdav", "where": "https://cloud.example/x", "user": "ana", "password": "pw"}
    asked = await browser.post("/paths/add", data=data)
    assert asked.status_code == 422
    assert "tick the box" in asked.text
    assert 'value="https://cloud.example/x"' in asked.text
    assert '"pw"' not in asked.text, "a password is never sent back"
    await browser.post("/paths/add", data=data | {"agreed": "1", "junk": "x"})
    assert node.out.added == [
        ("folder", {"where": "/media/stick"}),
        ("webdav", {"where": "https://cloud.example/x", "user": "ana", "password": "pw"}),
    ]
    assert "Added." in (await browser.get("/paths?done=add")).text


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ({"kind": "nothing"}, 400),
        ({}, 400),
        ({"kind": "folder"}, 422),
        ({"kind": "folder", "where": "x" * 9000}, 413),
    ],
)
async def test_what_cannot_be_added(
    browser: httpx.AsyncClient, node: FakeNode, data: dict[str, str], status: int
) -> None:
    assert (await browser.post("/paths/add", data=data)).status_code == status
    assert node.out.added == []


async def test_a_refusal_is_told_beside_what_was_filled_in(
    browser: httpx.AsyncClient, node: FakeNode
) -> None:
    node.out.failure = NodeError("This place is in use already.")
    answer = await browser.post("/paths/add", data={"kind": "folder", "where": "/media/stick"})
    assert answer.status_code == 422
    assert "This place is in use already." in answer.text
    assert 'value="/media/stick"' in answer.text
    assert '<details id="add-folder" open>' in answer.text


async def test_trying_and_removing(browser: httpx.AsyncClient, out: FakeNode) -> None:
    assert "it took 0.3 s" in (await browser.post("/paths/test", data={"id": "path:tor"})).text
    out.out.trial = WayTrial(None, "The proxy does not take us there.")
    answer = await browser.post("/paths/test", data={"id": "path:at work"})
    assert "The proxy does not take us there." in answer.text
    assert (await browser.post("/paths/test", data={"id": "path:x"})).status_code == 404
    await browser.post("/paths/remove", data={"id": "drop:1"})
    assert out.out.removed == ["drop:1"]
    assert (await browser.post("/paths/remove", data={"id": "drop:1"})).status_code == 422


async def test_a_locked_node_shows_nothing(app: Starlette, browser: httpx.AsyncClient) -> None:
    await app.state.web.node.lock()
    for path in ("/paths", "/doctor", "/doctor/progress"):
        answer = await browser.get(path)
        assert answer.headers["location"] == "/unlock"


def test_every_known_sentence_is_the_one_that_is_made() -> None:
    made = {
        *(one.OWNER_LEARNS for one in (webdav, s3, sftp, mail)),
        *(text for _, text, _ in SHAPES),
        *(" ".join((one.__doc__ or "").split()) for one in drop.DropError.__subclasses__()[:4]),
        DIRECT.observer_learns,
        proxy.OBSERVER_LEARNS,
        tor.CAPABILITIES.observer_learns,
        lan.ABOUT,
        lan.OBSERVER_LEARNS,
    }
    assert made <= set(paths_words.KNOWN)
    russian = language("ru")
    assert all(russian.gettext(text) != text for text in paths_words.KNOWN)


def test_every_kind_that_the_node_has_is_offered_and_asked_about() -> None:
    known = Ways.kinds(Ways.__new__(Ways))
    assert set(known) <= {offer.kind for offer in OFFERS}
    assert {kind for kind, learns in known.items() if learns is None} == {"folder"}

"""The doctor's page, and its words."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from hypothesis import given
from starlette.applications import Starlette
from tests.paths.test_doctor import seen

from volok.app.doctor_shapes import examination_shape
from volok.app.web.doctor_words import told
from volok.app.web.i18n import language
from volok.app.web.interface import NodeError
from volok.paths.doctor import diagnose
from volok.paths.doctor_report import Examination, Finding, How, Kind
from volok.paths.doctor_seen import Observations

from .fake_censor import censor, walk_out
from .fake_node import FakeNode

EN, RU = language("en"), language("ru")


async def settled(browser: httpx.AsyncClient) -> str:
    """The result, once it is there."""
    async with asyncio.timeout(5):
        while True:
            text = (await browser.get("/doctor/progress")).text
            if "hx-trigger" not in text:
                return text
            await asyncio.sleep(0)


async def test_it_looks_when_asked_and_shows_how_far_it_is(
    browser: httpx.AsyncClient, node: FakeNode
) -> None:
    censor(node)
    assert node.out.asked == []
    assert "verdict" not in (await browser.get("/doctor")).text
    assert node.out.asked == [], "looking at the page asks nobody"
    node.out.goes_on.clear()
    answer = await browser.post("/doctor")
    assert answer.headers["location"] == "/doctor#result"
    await browser.post("/doctor")
    text = (await browser.get("/doctor/progress")).text
    assert "<progress" in text
    assert "hx-trigger" in text
    node.out.goes_on.set()
    result = await settled(browser)
    assert "Names are being forged here." in result
    assert "2 of 3 relays can be reached." in result
    assert node.out.asked == [False], "one at a time"
    assert result in (await browser.get("/doctor")).text


async def test_thorough_only_when_chosen(browser: httpx.AsyncClient, node: FakeNode) -> None:
    await browser.post("/doctor", data={"thorough": "1"})
    await settled(browser)
    assert node.out.asked == [True]


async def test_what_goes_wrong_is_told(browser: httpx.AsyncClient, node: FakeNode) -> None:
    node.out.failure = NodeError("The disk is full.")
    await browser.post("/doctor")
    assert "The disk is full." in await settled(browser)


async def test_nothing_is_left_of_it_when_the_node_was_locked(
    app: Starlette, browser: httpx.AsyncClient, node: FakeNode
) -> None:
    censor(node)
    await browser.post("/doctor")
    await settled(browser)
    await node.lock()
    assert (await browser.get("/doctor")).headers["location"] == "/unlock"
    assert app.state.examiner.examination is None
    await node.unlock(None)
    assert "verdict" not in (await browser.get("/doctor")).text


async def test_an_examination_ends_with_the_node(
    app: Starlette, browser: httpx.AsyncClient, node: FakeNode
) -> None:
    node.out.goes_on.clear()
    await browser.post("/doctor")
    await asyncio.sleep(0)
    await node.lock()
    await browser.get("/doctor")
    assert not app.state.examiner.runs


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("how", [None, *How])
@pytest.mark.parametrize("sure", [True, False])
def test_every_finding_has_words_in_every_language(kind: Kind, how: How | None, sure: bool) -> None:
    finding = Finding(kind, sure, how, ("a",), 20_000, 24, 16_000.0)
    known = diagnose(Observations())
    whole = type(known)((finding,), known.places, known.not_tried)
    english, russian = (told(whole, {"a": "wss://a.example"}, one) for one in (EN, RU))
    assert english.findings[0][0].endswith(".")
    assert "%(" not in english.verdict + str(english.findings)
    assert english.findings[0][0] != russian.findings[0][0]
    assert english.verdict.startswith(english.findings[0][0])


@given(seen())
def test_whatever_was_seen_can_be_told(what: Observations) -> None:
    diagnosis = diagnose(what)
    shape = examination_shape(Examination(diagnosis, {}))
    assert shape["verdict"]
    assert shape["open"] == any(place["open"] for place in shape["places"])
    words = told(diagnosis, {}, RU)
    assert len(words.places) == len(what.places)
    assert words.mood == ("good" if shape["findings"][0]["kind"] == "not-blocked" else words.mood)


def test_a_name_for_a_place_comes_from_the_person(node: FakeNode) -> None:
    walk_out(node)
    censor(node)
    words = told(diagnose(node.out.seen), node.out.names, EN)
    assert [place.name for place in words.places] == list(node.out.names.values())
    assert [place.mood for place in words.places] == ["good", "busy", "off", "good"]
    assert (
        "Add Tor or a proxy, which lead around the block.",
        "volok path add tor",
    ) in words.advice

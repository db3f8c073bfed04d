"""Messages by light: what the node shows, and what it makes of what a camera read."""

from __future__ import annotations

import random
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from volok.app import carrying
from volok.app.web import light, one_time_link
from volok.app.web.interface import ExportReport, ImportReport, NodeError, NothingWaits
from volok.chat.views import ChatError, Contact
from volok.model.fountain_frames import (
    FRAMING,
    MAX_BYTES,
    FrameWriter,
    parse_frame,
)
from volok.sync.bundle import BundleNotForUs, BundleTooNew, InvalidBundle

from .conftest import client
from .fake_node import FakeNode

LARGE = random.Random(1).randbytes(30_000)
INVITE = b"volok-invite\x01" + LARGE[:1300]


class Carrier(FakeNode):
    """A node that carries what a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: bytes | Exception = LARGE
        self.messages = 3
        self.came: list[bytes] = []
        self.refuses: Exception | None = None
        self.chat.accept_file = self._accept_file  # type: ignore[method-assign]

    async def export_bundle(self, path: Path, contact_id: str | None) -> ExportReport:
        if isinstance(self.waits, Exception):
            raise self.waits
        path.write_bytes(self.waits)
        return ExportReport(self.messages)

    async def import_bundle(self, path: Path) -> ImportReport:
        if self.refuses is not None:
            raise self.refuses
        self.came.append(path.read_bytes())
        return ImportReport(2, 1)

    async def _accept_file(self, data: bytes) -> Contact:
        if self.refuses is not None:
            raise self.refuses
        self.came.append(data)
        return self.chat.people[self.chat.add_contact("Noor")]


@pytest.fixture
def node() -> Carrier:
    return Carrier()


@pytest.fixture
async def other(
    make_app: Any, browser: httpx.AsyncClient
) -> AsyncIterator[tuple[Carrier, httpx.AsyncClient]]:
    """Somebody else, and their browser."""
    node = Carrier()
    app = make_app(node)
    async with client(app) as opened:
        await opened.get(one_time_link(app))
        yield node, opened


async def shown(browser: httpx.AsyncClient, **form: str) -> dict[str, Any]:
    """Begin to show."""
    response = await browser.post("/carry/light/show", data=form)
    told: dict[str, Any] = response.json()
    assert (response.status_code == 422) == ("problem" in told)
    return told


async def frames(
    browser: httpx.AsyncClient, id: str, first: int = 0, each: int = light.FRAME_BYTES
) -> list[bytes]:
    """What is on the screen next."""
    data = (await browser.get(f"/carry/light/{id}/frames?bytes={each}&first={first}")).content
    assert len(data) == light.FRAMES_AT_ONCE * each
    return [data[at : at + each] for at in range(0, len(data), each)]


async def seen(browser: httpx.AsyncClient, batch: list[bytes]) -> dict[str, Any]:
    """Hand over what a camera saw."""
    body = b"".join(struct.pack(">H", len(frame)) + frame for frame in batch)
    response = await browser.post("/carry/light/read", content=body)
    assert response.status_code == 200
    told: dict[str, Any] = response.json()
    return told


async def read_whole(
    screen: httpx.AsyncClient,
    camera: httpx.AsyncClient,
    told: dict[str, Any],
    first: int = 0,
    speed: str = "8",
) -> dict[str, Any]:
    """Watch a screen, missing every third frame, until something comes of it."""
    pace = told["speeds"][speed]
    for number in range(first, first + 3 * pace["count"] + 60, light.FRAMES_AT_ONCE):
        batch = await frames(screen, told["id"], number, pace["bytes"])
        answer = await seen(camera, [f for at, f in enumerate(batch) if at % 3])
        if "have" not in answer:
            return answer
        assert answer["need"] == pace["count"]
        assert answer["words"] == f"{answer['have']} of {answer['need']}"
    raise AssertionError("never whole")


@pytest.mark.parametrize("speed", ["4", "8"])
async def test_from_screen_to_camera(
    node: Carrier,
    browser: httpx.AsyncClient,
    other: tuple[Carrier, httpx.AsyncClient],
    tmp_path: Path,
    speed: str,
) -> None:
    receiver, camera = other
    told = await shown(browser)
    assert told["words"] == "3 messages are packed."
    pace = told["speeds"]["8"]
    assert pace["count"] == -(-len(LARGE) // (light.FRAME_BYTES - FRAMING))
    assert [told["speeds"][speed]["words"] for speed in ("4", "8", "12")] == [
        "This takes about 40 seconds.",
        "This takes about 15 seconds.",
        "This takes about 8 seconds.",
    ]
    answer = await read_whole(browser, camera, told, 1000, speed)
    assert answer == {"came": {"words": "3 new items came in.", "link": "/"}}
    assert receiver.came == [LARGE]
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"

    # The same once more is said to be known, as is one's own screen in a mirror.
    again = await seen(camera, await frames(browser, told["id"]))
    assert "read already" in again["hint"]
    mirrored = await seen(browser, await frames(browser, told["id"]))
    assert mirrored == {"hint": "The camera sees your own screen."}


async def test_an_invite_goes_by_light(
    node: Carrier,
    browser: httpx.AsyncClient,
    other: tuple[Carrier, httpx.AsyncClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receiver, camera = other
    made = await node.chat.invite()

    async def invite_file(id: str) -> bytes:
        assert id == made.id
        return INVITE

    monkeypatch.setattr(node.chat, "invite_file", invite_file)
    page = (await browser.get(f"/carry/light?invite={made.id}&show=1")).text
    assert f'name="invite" value="{made.id}"' in page
    assert 'data-begins="1"' in page
    told = await shown(browser, invite=made.id)
    assert told["words"] == "This is your invite."
    came = (await read_whole(browser, camera, told))["came"]
    noor = next(iter(receiver.chat.people))
    assert (came["contact"], came["name"], came["link"]) == (noor, "Noor", f"/c/{noor}")
    assert "invite of Noor" in came["words"]
    assert receiver.came == [INVITE]


async def test_what_cannot_be_shown(node: Carrier, browser: httpx.AsyncClient) -> None:
    node.waits = bytes(MAX_BYTES + 1)
    problem = (await shown(browser))["problem"]
    assert "2 MB" in problem
    assert "Pack a file instead" in problem
    node.waits = ChatError("There is no such contact.")
    assert await shown(browser, contact="x") == {"problem": "There is no such contact."}
    node.waits = NothingWaits()
    assert await shown(browser) == {"nothing": "Nothing of yours waits any more."}
    node.waits, node.messages = LARGE, 0
    assert (await shown(browser))["words"].startswith("Nothing of yours waits.")


@pytest.mark.parametrize(
    ("whole", "error", "words"),
    [
        (LARGE, NodeError("This is not for you."), "This is not for you."),
        (INVITE, ChatError("This invite has expired."), "This invite has expired."),
        (LARGE, BundleNotForUs(), "nothing for you"),
        (LARGE, BundleTooNew(), "newer version of Volok"),
        (LARGE, InvalidBundle(), "carries no messages"),
    ],
)
async def test_what_cannot_be_used_is_said_and_read_again(
    node: Carrier, browser: httpx.AsyncClient, whole: bytes, error: Exception, words: str
) -> None:
    node.refuses = error
    writer = FrameWriter(whole, light.FRAME_BYTES)
    batch = [writer.frame(number) for number in range(writer.count)]
    answer = await seen(browser, batch)
    assert words in answer["problem"]
    assert "file" not in answer["problem"]
    assert answer["goesOn"] is False
    node.refuses = None
    assert "came" in await seen(browser, batch)


async def test_a_spoiled_stream_begins_anew(node: Carrier, browser: httpx.AsyncClient) -> None:
    writer = FrameWriter(LARGE[:4000], light.FRAME_BYTES)
    stream = [writer.frame(number) for number in range(writer.count)]
    wrong = replace(parse_frame(stream[3]), block=LARGE[: light.FRAME_BYTES - FRAMING])
    assert (await seen(browser, [wrong.to_bytes()]))["have"] == 1
    answer = await seen(browser, stream)
    assert answer["goesOn"] is True
    assert "reading begins anew" in answer["problem"]
    assert node.came == []
    assert "came" in await seen(browser, stream)
    assert node.came == [LARGE[:4000]]


async def test_foreign_codes_are_passed_over(browser: httpx.AsyncClient) -> None:
    assert await seen(browser, [b"https://example.org/", b"", b"vlk\x01" + bytes(300)]) == {}
    newer = FrameWriter(LARGE, light.FRAME_BYTES).frame(0)
    assert await seen(browser, [newer[:-1] + b"?"]) == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\x00", 400),
        (b"\x00\x05abc", 400),
        (b"\xff\xff" + bytes(65535), 400),
        (bytes(light.MAX_BATCH_BYTES + 1), 413),
    ],
)
async def test_malformed_batches(browser: httpx.AsyncClient, body: bytes, status: int) -> None:
    assert (await browser.post("/carry/light/read", content=body)).status_code == status


@pytest.mark.parametrize("number", ["", "-1", "x", "²", "9" * 11])
async def test_malformed_numbers(browser: httpx.AsyncClient, number: str) -> None:
    path = f"/carry/light/{(await shown(browser))['id']}/frames"
    for query in (f"bytes=425&first={number}", f"bytes={number}&first=0"):
        assert (await browser.get(f"{path}?{query}")).status_code == 400
    assert (await browser.get(f"{path}?bytes=426&first=0")).status_code == 404


async def test_streams_go_on_for_ever_and_are_few(
    node: Carrier, browser: httpx.AsyncClient
) -> None:
    first = (await shown(browser))["id"]
    assert len(await frames(browser, first, (1 << 32) - 3)) == light.FRAMES_AT_ONCE
    for number in range(light.MAX_SHOWN):
        node.waits = LARGE + bytes([number])
        assert (await shown(browser))["id"] != first
    gone = await browser.get(f"/carry/light/{first}/frames?bytes=425&first=0")
    assert gone.status_code == 404


async def test_nothing_of_it_when_locked(
    app: Starlette, node: Carrier, browser: httpx.AsyncClient
) -> None:
    id = (await shown(browser))["id"]
    await node.lock()
    for response in (
        await browser.get("/carry/light"),
        await browser.post("/carry/light/show"),
        await browser.get(f"/carry/light/{id}/frames?bytes=425&first=0"),
        await browser.post("/carry/light/read", content=b""),
    ):
        assert response.headers["location"] == "/unlock"


async def test_a_person_who_shows_or_reads_is_there(
    app: Starlette, node: Carrier, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The automatic lock waits for as long as showing takes, and for what a camera reads."""
    touched: list[bool] = []
    monkeypatch.setattr(app.state.web.idle, "touch", lambda: touched.append(True))
    told = await shown(browser)
    touched.clear()
    await frames(browser, told["id"], 0)
    await seen(browser, [])
    assert len(touched) == 2
    await frames(browser, told["id"], 3 * told["speeds"]["8"]["count"])
    assert len(touched) == 2


async def test_the_pages_lead_there(node: Carrier, browser: httpx.AsyncClient) -> None:
    made = await node.chat.invite()
    assert 'href="/carry/light"' in (await browser.get("/accept")).text
    assert 'formaction="/carry/light"' in (await browser.get("/carry")).text
    page = (await browser.get(f"/invites/{made.id}")).text
    assert f"/carry/light?invite={made.id}&amp;show=1" in page
    vera = node.chat.add_contact("Vera")
    page = (await browser.get(f"/carry/light?contact={vera}&invite=unknown")).text
    assert f'value="{vera}" selected' in page
    assert 'name="invite"' not in page
    russian = await browser.get("/carry/light", headers={"Accept-Language": "ru"})
    assert "Показать на экране" in russian.text


def test_the_node_says_nothing_waits_as_the_page_knows_it() -> None:
    assert issubclass(carrying.NothingWaits, NothingWaits)


def test_the_reader_of_an_app_passes_over_what_it_shows() -> None:
    lit = light.Light()
    writers = lit.shown[lit.show(LARGE)]
    for writer in writers.values():
        assert lit.reader.take(writer.frame(0)) is None
        assert lit.reader.passed_over == writer.stream

"""Sending, reading, acting on messages and files, without scripts as well as with them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from volok.app.web import one_time_link
from volok.app.web.conversation import _facts, _thumbnail
from volok.app.web.files import SHOWN, cut, media_type, span
from volok.chat.views import ChatError, FileKind, MessageState
from volok.store.vault import VaultFull

from .conftest import client
from .fake_node import FakeNode
from .scenes import rich

SCRIPT = {"HX-Request": "true"}


@pytest.fixture
def anna(node: FakeNode) -> str:
    return rich(node)


async def test_a_plain_form_sends(browser: httpx.AsyncClient, node: FakeNode, anna: str) -> None:
    response = await browser.post(f"/c/{anna}/messages", data={"text": " Hello\r\nthere "})
    assert (response.status_code, response.headers["location"]) == (303, f"/c/{anna}")
    last = node.chat.people[anna].last
    assert last is not None
    assert (last.text, last.mine) == ("Hello\nthere", True)


async def test_a_script_gets_the_message_back(
    browser: httpx.AsyncClient, node: FakeNode, anna: str
) -> None:
    response = await browser.post(f"/c/{anna}/messages", data={"text": "Hi"}, headers=SCRIPT)
    last = node.chat.people[anna].last
    assert last is not None
    assert response.text.count("<li") == 1
    assert f'id="m-{last.id}"' in response.text


async def test_nothing_is_not_sent(browser: httpx.AsyncClient, node: FakeNode, anna: str) -> None:
    before = len(node.chat.log)
    response = await browser.post(f"/c/{anna}/messages", data={"text": " \n "})
    assert (response.status_code, len(node.chat.log)) == (400, before)


async def test_files_come_with_what_the_browser_knows(
    browser: httpx.AsyncClient, node: FakeNode, anna: str
) -> None:
    facts = {
        "kind": "picture",
        "width": 4,
        "height": 3,
        "thumbnail": base64.b64encode(b"t").decode(),
    }
    response = await browser.post(
        f"/c/{anna}/messages",
        data={"text": "", "details": [json.dumps(facts), "no json"], "view_once": "1"},
        files=[
            ("files", ("a.webp", b"one" * 700_000, "image/webp")),
            ("files", ("b.txt", b"two", "text/plain")),
        ],
    )
    assert response.status_code == 303
    first, second = node.chat.sent
    assert (first.name, first.kind, first.width, first.height) == (
        "a.webp", FileKind.PICTURE, 4, 3
    )  # fmt: skip
    assert (len(first.data), first.thumbnail) == (2_100_000, b"t")
    assert (second.kind, second.width, second.data) == (FileKind.FILE, None, b"two")
    last = node.chat.people[anna].last
    assert last is not None
    assert last.view_once


async def test_too_large_is_refused(
    node: FakeNode, anna: str, make_app: Callable[..., Starlette]
) -> None:
    app = make_app(node, max_upload_bytes=1000)
    async with client(app) as browser:
        await browser.get(one_time_link(app))
        files = {"files": ("a", b"x" * 2000)}
        response = await browser.post(f"/c/{anna}/messages", files=files)
    assert (response.status_code, node.chat.sent) == (413, [])
    assert "100 MB" in response.text


@pytest.mark.parametrize(
    "body",
    [b"", b"--x", b"--x\r\n\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\nhi\r\n--x--"],
)
async def test_malformed_forms(browser: httpx.AsyncClient, anna: str, body: bytes) -> None:
    for kind in ("multipart/form-data; boundary=x", "multipart/form-data", "text/plain"):
        headers = {"Content-Type": kind}
        response = await browser.post(f"/c/{anna}/messages", content=body, headers=headers)
        assert response.status_code == 400


async def test_answer_and_edit(browser: httpx.AsyncClient, node: FakeNode, anna: str) -> None:
    first = node.chat.people[anna].last
    assert first is not None
    path = f"/c/{anna}/messages"
    await browser.post(path, data={"text": "Yes", "reply_to": first.id})
    answer = node.chat.people[anna].last
    assert answer is not None
    assert answer.quote is not None
    assert answer.quote.id == first.id
    response = await browser.post(path, data={"text": "No", "editing": answer.id}, headers=SCRIPT)
    assert "edited" in response.text
    assert node.chat.log[answer.id].text == "No"


async def test_react_and_delete(browser: httpx.AsyncClient, node: FakeNode, anna: str) -> None:
    message = node.chat.put(anna, "mine", True)
    path = f"/m/{message.id}"
    menu = (await browser.get(f"{path}/menu")).text
    assert "Delete for everyone" in menu
    assert "cannot be known" in menu
    response = await browser.post(f"{path}/react", data={"emoji": "👍"}, headers=SCRIPT)
    assert "👍" in response.text
    assert (await browser.post(f"{path}/react", data={"emoji": "<b>"})).status_code == 400
    await browser.post(f"{path}/react", data={"emoji": ""})
    assert node.chat.log[message.id].reactions == ()
    response = await browser.post(f"{path}/delete", data={"everyone": "1"}, headers=SCRIPT)
    assert "Message deleted" in response.text
    response = await browser.post(f"{path}/delete", headers=SCRIPT)
    assert (response.text, message.id in node.chat.log) == ("", False)


async def test_errors_are_sentences(browser: httpx.AsyncClient, node: FakeNode, anna: str) -> None:
    path = f"/c/{anna}/messages"
    browser.headers["Accept-Language"] = "ru"
    node.chat.failure = VaultFull()
    response = await browser.post(path, data={"text": "a"}, headers=SCRIPT)
    assert response.status_code == 507
    assert "Диск заполнен" in response.text
    node.chat.failure = ChatError("Something <new>.")
    response = await browser.post(path, data={"text": "a"}, headers=SCRIPT)
    assert response.status_code == 422
    assert "Something &lt;new&gt;." in response.text


async def test_days_groups_and_the_unread_line(browser: httpx.AsyncClient, node: FakeNode) -> None:
    id = node.chat.add_contact("Vera")
    day = 86_400_000
    for ago in (2 * day, day, day - 1000, 2000):
        node.chat.put(id, "old", ago=ago)
    node.chat.put(id, "new", ago=1000, state=MessageState.RECEIVED)
    node.chat.put(id, "newer", ago=0, state=MessageState.RECEIVED)
    text = (await browser.get(f"/c/{id}")).text.partition('id="log"')[2]
    assert text.count('class="day"') == 3
    assert "Yesterday" in text
    assert "Today" in text
    assert text.count('id="unread"') == 1
    assert text.index('id="unread"') < text.index(">new<") < text.index(">newer<")
    assert text.count(" continues") == 2
    await browser.post(f"/c/{id}/seen")
    assert 'id="unread"' not in (await browser.get(f"/c/{id}")).text


async def test_older_pages_join_without_a_gap(
    browser: httpx.AsyncClient, node: FakeNode, anna: str
) -> None:
    seen: list[str] = []
    text = (await browser.get(f"/c/{anna}")).text
    while True:
        seen[:0] = [part.partition('"')[0] for part in text.split('id="m-')[1:]]
        _, found, rest = text.partition(f'hx-get="/c/{anna}/older')
        if not found:
            break
        text = (await browser.get(f"/c/{anna}/older" + rest.partition('"')[0])).text
    assert seen == [message.id for message in await node.chat.messages(anna, limit=1000)]
    assert (await browser.get(f"/c/{anna}/older?before=-1")).status_code == 400


async def test_files_are_served_in_a_sandbox(
    browser: httpx.AsyncClient, node: FakeNode, anna: str
) -> None:
    page = node.chat.add_file('"evil\n".html', b"<script>", media_type="text/html")
    picture = node.chat.add_file("p.svg", b"<svg/>", media_type="image/svg+xml")
    sound = node.chat.add_file("s.webm", bytes(range(256)) * 20, media_type="audio/webm")
    node.chat.put(anna, "", files=(page, picture, sound))
    for file in (page, picture):
        response = await browser.get(f"/files/{file.id}")
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
        assert response.headers["content-security-policy"] == "default-src 'none'; sandbox"
    response = await browser.get(f"/files/{sound.id}")
    assert response.headers["content-type"] == "audio/webm"
    assert "content-disposition" not in response.headers
    part = await browser.get(f"/files/{sound.id}", headers={"Range": "bytes=1000-2009"})
    assert (part.status_code, part.content) == (206, response.content[1000:2010])
    assert part.headers["content-range"] == "bytes 1000-2009/5120"
    saved = await browser.get(f"/files/{sound.id}?save=1")
    assert saved.headers["content-disposition"].startswith("attachment")


async def test_view_once_gives_its_bytes_once(
    browser: httpx.AsyncClient, node: FakeNode, anna: str
) -> None:
    (once,) = (m for m in node.chat.log.values() if m.view_once and not m.mine)
    path = f"/files/{once.files[0].id}/once"
    assert (await browser.get(path)).status_code == 405
    assert (await browser.post(path)).content[:2] == b"\xff\xd8"
    assert (await browser.post(path, headers=SCRIPT)).status_code == 422
    assert "Viewed" in (await browser.get(f"/m/{once.id}")).text


async def test_search(browser: httpx.AsyncClient, anna: str) -> None:
    response = await browser.post("/search", data={"text": "boats"}, headers=SCRIPT)
    assert response.text.count("<li>") == 1
    assert f"/c/{anna}?at=" in response.text
    found = response.text.split('href="')[1].partition('"')[0].replace("&amp;", "&")
    page = (await browser.get(found.partition("#")[0])).text
    assert f'id="{found.partition("#")[2]}"' in page


@given(st.text())
def test_facts_never_raise(text: str) -> None:
    assert isinstance(_facts(text), dict)


@given(st.one_of(st.none(), st.integers(), st.text(), st.binary().map(base64.b64encode)))
def test_thumbnails_never_raise(value: object) -> None:
    picture = _thumbnail(value.decode() if isinstance(value, bytes) else value)
    assert picture is None or 0 < len(picture) <= 4096


@given(st.text(max_size=30), st.integers(0, 10_000))
def test_ranges_stay_inside(header: str, size: int) -> None:
    for text in (header, f"bytes={header}", f"bytes={len(header)}-{size}"):
        found = span(text, size)
        assert found is None or 0 <= found[0] < found[1] <= size


@given(st.lists(st.binary(max_size=20), max_size=8), st.integers(0, 50), st.integers(0, 50))
async def test_cut_is_a_slice(parts: list[bytes], start: int, length: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    got = b"".join([piece async for piece in cut(pieces(), start, start + length)])
    assert got == b"".join(parts)[start : start + length]


@given(st.text())
def test_only_plain_types_are_shown(claimed: str) -> None:
    assert media_type(claimed) in SHOWN | {"application/octet-stream"}
    assert media_type("image/JPEG; x=1") == "image/jpeg"


async def test_a_message_that_failed_can_be_tried_again(
    browser: httpx.AsyncClient, node: FakeNode, anna: str
) -> None:
    failed = next(one for one in node.chat.log.values() if one.state is MessageState.FAILED)
    menu = await browser.get(f"/m/{failed.id}/menu")
    assert f"/m/{failed.id}/retry" in menu.text
    response = await browser.post(f"/m/{failed.id}/retry", headers=SCRIPT)
    assert response.status_code == 200
    assert node.chat.log[failed.id].state is MessageState.QUEUED
    assert "/retry" not in (await browser.get(f"/m/{failed.id}/menu")).text

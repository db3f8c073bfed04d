"""Who may talk to the web app."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from volok.app.web import one_time_link
from volok.app.web.app import ROUTES
from volok.app.web.security import Door

from .conftest import BASE, PORT, client, settings
from .fake_node import NOW, FakeNode


async def test_without_cookie_nothing_but_a_plain_page(app: Starlette, node: FakeNode) -> None:
    async with client(app) as stranger:
        for route in ROUTES:
            path = route.path.replace(":path", "").format(id="ab", digest="x", name="y")
            if path.startswith(("/open", "/static")):
                continue
            for method in route.methods or ():
                response = await stranger.request(method, path)
                assert response.status_code == 403, (method, path)
                assert method == "HEAD" or "volok up" in response.text
    assert node.state == "open"


async def test_token_works_once(app: Starlette) -> None:
    link = one_time_link(app)
    async with client(app) as first:
        response = await first.get(link)
        assert (response.status_code, response.headers["location"]) == (303, "/")
        cookie = response.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert cookie.startswith("volok-volok=")
        assert (await first.get("/")).status_code == 200
        assert (await first.get(link)).status_code == 303, "its own browser may reload the link"
    async with client(app) as second:
        assert (await second.get(link)).status_code == 403
        assert not second.cookies
        assert (await second.get("/")).status_code == 403


async def test_token_expires(node: FakeNode, make_app: Callable[..., Starlette]) -> None:
    now = [NOW]
    app = make_app(node, now=lambda: now[0], token_seconds=60)
    link = one_time_link(app)
    now[0] += 60
    async with client(app) as late:
        assert (await late.get(link)).status_code == 403


async def test_cookie_of_another_node_is_not_ours(
    node: FakeNode, make_app: Callable[..., Starlette]
) -> None:
    ours = make_app(node, cookie_suffix="ours")
    other = make_app(FakeNode(), cookie_suffix="other", random=lambda n: b"\x07" * n)
    async with client(other) as browser:
        await browser.get(one_time_link(other))
        value = browser.cookies["volok-other"]
    async with client(ours) as browser:
        browser.cookies.set("volok-ours", value)
        assert (await browser.get("/")).status_code == 403


def test_door_ignores_what_is_no_cookie(tmp_path: object) -> None:
    door = Door(settings(tmp_path))  # type: ignore[arg-type]
    assert door.exchange("") is None
    assert not door.knows("")
    assert not door.knows("é")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (f"volok.localhost:{PORT}", True),
        (f"VOLOK.localhost:{PORT}", True),
        (f"127.0.0.1:{PORT}", True),
        (f"localhost:{PORT}", True),
        ("volok.localhost", False),
        (f"volok.localhost:{PORT + 1}", False),
        (f"other.localhost:{PORT}", False),
        (f"evil.example:{PORT}", False),
        (f"volok.localhost.evil.example:{PORT}", False),
        ("", False),
    ],
)
async def test_host_header(browser: httpx.AsyncClient, host: str, allowed: bool) -> None:
    response = await browser.get("/open", headers={"Host": host})
    assert response.status_code == (303 if allowed else 421)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": BASE}, True),
        ({"Sec-Fetch-Site": "", "Origin": BASE}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": f"http://localhost:{PORT}"}, False),
    ],
)
async def test_changes_come_from_our_own_pages_only(
    browser: httpx.AsyncClient, node: FakeNode, headers: dict[str, str], allowed: bool
) -> None:
    response = await browser.post("/lock", headers=headers)
    assert response.status_code == (303 if allowed else 403)
    assert node.state == ("locked" if allowed else "open")


async def test_without_fetch_metadata_the_origin_decides(
    browser: httpx.AsyncClient, node: FakeNode
) -> None:
    del browser.headers["Sec-Fetch-Site"]
    assert (await browser.post("/lock")).status_code == 403
    assert (await browser.post("/lock", headers={"Origin": "null"})).status_code == 403
    assert node.state == "open"
    assert (await browser.post("/lock", headers={"Origin": BASE})).status_code == 303
    assert node.state == "locked"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/events", "/", "/status", "/static/x/logo.svg"])
async def test_other_pages_read_nothing(browser: httpx.AsyncClient, site: str, path: str) -> None:
    for mode, target in (("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe")):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": target}
        assert (await browser.get(path, headers=headers)).status_code == 403


async def test_other_pages_may_link_here(browser: httpx.AsyncClient) -> None:
    headers = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    assert (await browser.get("/", headers=headers)).status_code == 200


async def test_every_response_carries_the_headers(app: Starlette) -> None:
    async with client(app) as browser:
        responses = [
            await browser.get("/"),
            await browser.get("/", headers={"Host": "evil.example"}),
            await browser.post("/lock", headers={"Sec-Fetch-Site": "cross-site"}),
            await browser.get(one_time_link(app)),
            await browser.get("/"),
            await browser.get("/settings"),
            await browser.get("/nothing"),
            await browser.post("/settings", data={"what": "nothing"}),
        ]
    for response in responses:
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["cross-origin-opener-policy"] == "same-origin"
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
        assert response.headers["cache-control"] == "no-store"
        assert "camera=(self)" in response.headers["permissions-policy"]


async def test_what_breaks_is_answered_and_logged_without_its_text(
    browser: httpx.AsyncClient, node: FakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    node.chat.failure = RuntimeError("secret words of somebody")
    contact = node.chat.add_contact("Anna")
    response = await browser.post(f"/c/{contact}/messages", data={"text": "hello"})
    assert response.status_code == 500
    assert "Nothing was lost" in response.text
    assert "secret" not in response.text
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_every_changing_route_is_post() -> None:
    getters = {
        route.path
        for route in ROUTES
        if isinstance(route, Route) and route.methods == {"GET", "HEAD"}
    }
    changing = ("/lock", "/panic", "/awake", "seen", "react", "delete", "once", "revoke", "compare")
    assert not [path for path in getters if path.endswith(changing)]

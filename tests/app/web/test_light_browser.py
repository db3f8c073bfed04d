"""Messages by light in a real Chromium: what is drawn, what the camera does, the keyboard."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright, expect

from volok.app.web.light import COARSE_BYTES, FRAME_BYTES, MAX_SHOWN
from volok.model.fountain_frames import FrameReader

from .fake_node import FakeNode
from .live import Site, launch, serve
from .tour import OWN_EYE

PATIENCE = 60_000
"""Milliseconds after which what the page should show is no longer waited for."""
MODULES = 69 + 2 * 4
"""A side of the code, version 13, with its quiet zone."""
COARSE_MODULES = 57 + 2 * 4
"""The same of version 10."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        expect.set_options(timeout=PATIENCE)
        yield browser
        expect.set_options(timeout=None)
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with serve(FakeNode(), tmp_path_factory.mktemp("site")) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: Browser, site: Site) -> AsyncIterator[Page]:
    """The page, on a dark phone; its camera sees the page's own code, unknown to the node."""
    site.show(FakeNode())
    context = await chromium.new_context(
        viewport={"width": 390, "height": 844},
        color_scheme="dark",
        locale="en-GB",
        permissions=["camera"],
    )
    opened = await context.new_page()
    opened.set_default_timeout(PATIENCE)
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on(
        "console",
        lambda line: problems.append(line.text) if "Content Security" in line.text else None,
    )
    await opened.add_init_script("""navigator.mediaDevices.getUserMedia = async () =>
      document.getElementById("code").captureStream();""")
    await opened.goto(site.link())
    await opened.goto(f"{site.base}/carry/light")
    yield opened
    await context.close()
    assert problems == []


async def shows(page: Page) -> None:
    await page.get_by_role("button", name="Show as light").click()
    await page.locator("#code:not([width='616'])").wait_for()


def forget(site: Site) -> None:
    """Make the node take its own code for another's."""
    site.app.state.light.reader = FrameReader()


async def drawn(page: Page) -> str:
    """The code as it is at this moment."""
    return str(await page.evaluate("document.getElementById('code').toDataURL()"))


async def test_the_code_is_dark_on_white_with_a_quiet_zone(page: Page) -> None:
    await shows(page)
    box = await page.locator("#code").bounding_box()
    assert box is not None
    assert 300 < box["width"] == box["height"] < 390
    data = (await drawn(page)).partition(",")[2]
    code = Image.open(io.BytesIO(base64.b64decode(data))).convert("L")
    scale, rest = divmod(code.width, MODULES)
    assert (rest, code.height) == (0, code.width)
    assert scale >= 2
    white = code.crop((0, 0, code.width, 4 * scale)).getextrema()
    finder = code.crop((4 * scale, 4 * scale, 11 * scale, 5 * scale)).getextrema()
    assert (white, finder) == ((255, 255), (0, 0))
    assert (FRAME_BYTES, COARSE_BYTES) == (425, 271)  # what 13-L and 10-L hold in byte mode


async def test_it_moves_and_rests(page: Page) -> None:
    await shows(page)
    first = await drawn(page)
    await page.evaluate("""async (first) => {
      const code = document.getElementById("code");
      while (code.toDataURL() === first) await new Promise(requestAnimationFrame);
    }""", first)  # fmt: skip
    await page.get_by_role("button", name="Pause").click()
    rest = await drawn(page)
    changed = await page.evaluate("""async (rest) => {
      const until = performance.now() + 500;
      while (performance.now() < until) await new Promise(requestAnimationFrame);
      return document.getElementById("code").toDataURL() !== rest;
    }""", rest)  # fmt: skip
    assert not changed
    await page.get_by_role("button", name="Go on").click()
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()
    await page.get_by_role("button", name="Stop showing").click()
    await expect(page.get_by_role("button", name="Show as light")).to_be_visible()


async def test_codes_for_weak_cameras_are_coarser(page: Page, site: Site) -> None:
    await shows(page)
    await page.get_by_label("Speed").select_option("Slow, for weak cameras")
    modules = await page.evaluate("""async (coarse) => {
      const code = document.getElementById("code");
      while (code.width % coarse) await new Promise(requestAnimationFrame);
      return code.width / coarse;
    }""", COARSE_MODULES)  # fmt: skip
    assert modules >= 2
    await expect(page.locator("#shown-words")).to_contain_text("3 messages are packed.")
    forget(site)
    await page.get_by_role("button", name="Read with the camera").click()
    await expect(page.locator("#toasts")).to_contain_text("3 new items came in.")


async def test_it_begins_by_itself_unless_motion_is_unwanted(page: Page, site: Site) -> None:
    await page.goto(f"{site.base}/carry/light?show=1")
    await expect(page.locator("#shown-words")).to_contain_text("3 messages are packed.")
    await page.emulate_media(reduced_motion="reduce")
    await page.goto(f"{site.base}/carry/light?show=1")
    await expect(page.get_by_role("button", name="Show as light")).to_be_enabled()
    await expect(page.locator("#shown")).to_be_hidden()


async def test_by_keyboard(page: Page) -> None:
    await expect(page.get_by_role("button", name="Show as light")).to_be_enabled()
    await page.get_by_label("What waits for").focus()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Pause")).to_be_focused()
    await page.keyboard.press("Space")
    await expect(page.get_by_role("button", name="Go on")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Show as light")).to_be_focused()
    await page.get_by_role("button", name="Read with the camera").press("Enter")
    await expect(page.get_by_role("button", name="Stop the camera")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Read with the camera")).to_be_focused()


async def test_what_the_camera_sees_comes_in(page: Page, site: Site) -> None:
    """While something is shown, reading goes on; else it ends, and one's own can be shown."""
    await shows(page)
    forget(site)
    await page.get_by_role("button", name="Read with the camera").click()
    await expect(page.locator("#toasts")).to_contain_text("3 new items came in.")
    await expect(page.locator("#finder")).to_be_visible()
    await expect(page.locator("#hint")).not_to_be_empty()
    await page.get_by_role("button", name="Stop the camera").click()
    await expect(page.locator("#came")).to_contain_text("3 new items came in.")
    await expect(page.locator("#finder")).to_be_hidden()


async def test_then_it_is_the_others_turn(page: Page, site: Site) -> None:
    await shows(page)
    await page.get_by_role("button", name="Pause").click()
    await page.evaluate(OWN_EYE)
    await page.get_by_role("button", name="Stop showing").click()
    forget(site)
    await page.get_by_role("button", name="Read with the camera").click()
    await expect(page.locator("#came")).to_be_focused()
    await expect(page.locator("#finder")).to_be_hidden()
    await page.get_by_role("button", name="Show mine now").click()
    await expect(page.locator("#shown-words")).to_contain_text("3 messages are packed.")


async def test_a_camera_that_is_refused(page: Page) -> None:
    await page.evaluate("""() => {
      navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException("no", "NotAllowedError"));
    }""")
    await page.get_by_role("button", name="Read with the camera").click()
    await expect(page.locator("#read-problem")).to_contain_text("The camera cannot be used.")
    await expect(page.get_by_role("button", name="Read with the camera")).to_be_visible()


async def test_a_stream_that_the_node_lost_is_packed_anew(page: Page, site: Site) -> None:
    await shows(page)
    site.app.state.light.shown.clear()
    async with page.expect_response("**/carry/light/show"):
        await expect(page.locator("#code")).to_be_visible()
    await expect(page.locator("#code")).to_be_visible()
    assert 0 < len(site.app.state.light.shown) <= MAX_SHOWN


async def test_a_node_that_does_not_answer(page: Page) -> None:
    await page.route("**/carry/light/show", lambda route: route.abort())
    await page.get_by_role("button", name="Show as light").click()
    await expect(page.locator("#show-problem")).to_contain_text("does not answer")
    await page.unroute("**/carry/light/show")
    await shows(page)
    await expect(page.locator("#show-problem")).to_be_hidden()

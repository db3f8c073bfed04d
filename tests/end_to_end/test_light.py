"""A whole conversation by light alone: what one screen shows, the other's camera reads. There is no
relay, no network and no file between the two nodes; the invite goes this way too."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageFilter
from playwright.async_api import Page, async_playwright, expect
from tests.app.web.live import launch
from tests.end_to_end.browsing import Person

RECORD = """async (count) => {
  const code = document.getElementById("code");
  const seen = [];
  await new Promise((done) => {
    const look = () => {
      const now = code.toDataURL();
      if (now !== seen.at(-1)) seen.push(now);
      if (seen.length < count) requestAnimationFrame(look); else done();
    };
    requestAnimationFrame(look);
  });
  return seen;
}"""
"""Every code that is drawn from now on, as a camera in front of the screen would see it."""

OPEN_EYE = """() => {
  const eye = document.createElement("canvas");
  eye.width = eye.height = 640;
  navigator.mediaDevices.getUserMedia = async () => eye.captureStream();
  window.look = async (url) => {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    eye.getContext("2d").drawImage(picture, 30, 30, 580, 580);
  };
}"""
"""A camera that sees what `look` is given: for two that look at each other at the same time."""


WAITS = "Waiting here for a way out"
NOISE = Image.effect_noise((640, 480), 4)


@dataclass
class Camcorder:
    """What the fake camera sees: a film that is read anew each time the camera is opened."""

    path: Path

    async def films(self, page: Page) -> None:
        """Film the moving code of a page for as long as it takes, and then some."""
        await page.locator("#code:not([width='616'])").wait_for()
        # Faster than for people: a film has no use for pauses.
        await page.evaluate("""() => {
          const speed = document.getElementById("speed");
          speed.add(new Option("test", "60"));
          speed.value = "60";
          speed.dispatchEvent(new Event("change"));
        }""")
        count = int(await page.evaluate("document.getElementById('code').dataset.count"))
        pictures = await page.evaluate(RECORD, count + count // 8 + 6)
        frames = [_seen(Image.open(io.BytesIO(_bytes(url))), n) for n, url in enumerate(pictures)]
        self.path.write_bytes(b"".join(frames))


def _bytes(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


def _seen(code: Image.Image, number: int) -> bytes:
    """A code as a camera sees it: in a room, not quite straight, not quite sharp, with noise."""
    hand = random.Random(number)
    screen = code.convert("L").resize((440, 440), Image.Resampling.BOX)
    room = Image.new("L", (640, 480), 90)
    room.paste(screen.point(lambda value: 30 + int(value * 0.75)), (100 + hand.randrange(9), 20))
    room = room.rotate(hand.uniform(-4, 4), Image.Resampling.BICUBIC, fillcolor=90)
    room = room.filter(ImageFilter.GaussianBlur(0.6))
    room = ImageChops.add(room, NOISE, 1, -128)
    frame = io.BytesIO()
    room.convert("RGB").save(frame, "JPEG", quality=85)
    return frame.getvalue()


@pytest.mark.timeout(240)
async def test_a_conversation_by_light_alone(tmp_path: Path) -> None:
    camera = Camcorder(tmp_path / "camera.mjpeg")
    camera.path.write_bytes(_seen(Image.new("L", (9, 9)), 0))
    expect.set_options(timeout=60_000)
    try:
        async with async_playwright() as playwright:
            browser = await launch(playwright, f"--use-file-for-fake-video-capture={camera.path}")
            async with (
                Person.arrives(browser, tmp_path, "Alice", "") as alice,
                Person.arrives(browser, tmp_path, "Bob", "") as bob,
            ):
                await asyncio.gather(_settles_in(alice), _settles_in(bob))
                await _meet(alice, bob, camera)
                await _talk(alice, bob, camera)
                await _face_to_face(alice, bob)
                for person in (alice, bob):
                    assert person.problems == []
                    assert person.witness.found == []
    finally:
        expect.set_options(timeout=None)


async def _settles_in(person: Person) -> None:
    page = person.page
    await page.get_by_label("Your name").fill(person.name)
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_role("heading", name=f"Hello, {person.name}")).to_be_visible()


async def _shows(person: Person) -> None:
    """Pack what waits and show it, from the page of what is carried by hand."""
    await person.page.goto(_place(person, "/carry"))
    await person.page.get_by_role("button", name="Show as light").click()
    await person.page.get_by_role("button", name="Show as light").click()


async def _reads(person: Person) -> None:
    """Read with the camera until something came."""
    await person.page.get_by_role("button", name="Read with the camera").click()
    await expect(person.page.locator("#came .fortune")).to_be_visible()
    await expect(person.page.locator("#finder")).to_be_hidden()


def _place(person: Person, path: str) -> str:
    return "/".join(person.page.url.split("/")[:3]) + path


async def _meet(alice: Person, bob: Person, camera: Camcorder) -> None:
    """Alice's invite goes over as light; Bob's answer does with his first words."""
    page = alice.page
    await page.get_by_role("link", name="Invite a friend").click()
    await page.get_by_role("button", name="Make an invite").click()
    await page.get_by_role("link", name="Show as light").click()
    await page.get_by_role("button", name="Show as light").click()
    await expect(page.locator("#shown-words")).to_contain_text("This is your invite.")
    await camera.films(page)

    page = bob.page
    await page.get_by_role("link", name="Accept an invite").click()
    await page.get_by_role("link", name="Read messages by light").click()
    await _reads(bob)
    await expect(page.locator("#came")).to_contain_text("You accepted the invite of Alice.")
    await expect(page.locator("#contact option:checked")).to_have_text("Alice")
    await bob.look("light-accepted")
    await page.locator("#came").get_by_role("link", name="Open").click()
    await expect(page.locator("h1")).to_have_text("Alice")
    await bob.types("Is the bridge open?")
    await expect(bob.row("Is the bridge open?").locator(".state")).to_have_text(WAITS)
    await _shows(bob)
    await expect(page.locator("#shown-words")).to_contain_text("1 message is packed.")
    await bob.look("light-shown")
    await camera.films(page)

    await alice.page.goto(_place(alice, "/carry"))
    await alice.page.get_by_role("link", name="Read with the camera").click()
    await _reads(alice)
    await alice.look("light-came")
    await alice.page.goto(_place(alice, "/"))
    await alice.page.get_by_role("link", name="Bob").click()
    await expect(alice.row("Is the bridge open?")).to_have_count(1)


async def _talk(alice: Person, bob: Person, camera: Camcorder) -> None:
    """An answer goes back, and then its receipt: all that was written is read."""
    await alice.types("No. Take the portage.")
    await _shows(alice)
    await camera.films(alice.page)
    await bob.page.locator("#hide").click()
    await _reads(bob)
    await bob.page.goto(_place(bob, "/"))
    await bob.page.get_by_role("link", name="Alice").click()
    await expect(bob.row("No. Take the portage.")).to_have_count(1)
    await expect(bob.row("Is the bridge open?").locator(".state")).to_have_text("Read")

    await _shows(bob)
    await expect(bob.page.locator("#shown-words")).to_contain_text("Nothing of yours waits.")
    await camera.films(bob.page)
    await alice.page.locator("#hide").click()
    await _reads(alice)
    await alice.page.goto(_place(alice, "/"))
    await alice.page.get_by_role("link", name="Bob").click()
    await expect(alice.row("No. Take the portage.").locator(".state")).to_have_text("Read")


async def _face_to_face(alice: Person, bob: Person) -> None:
    """Both show and read at the same time, until nothing waits on either side."""
    for person, text in ((alice, "Here it is dry."), (bob, "И возьми верёвку.")):
        page = person.page
        await page.goto(_place(person, "/"))
        await page.get_by_role("link", name="Bob" if person is alice else "Alice").click()
        await person.types(text)
        await expect(person.row(text).locator(".state")).to_have_text(WAITS)
        await _shows(person)
        await page.evaluate(OPEN_EYE)
        await page.get_by_role("button", name="Read with the camera").click()
    watching = asyncio.gather(_watches(alice, bob), _watches(bob, alice))
    try:
        for person in (alice, bob):
            await expect(person.page.locator("#came .fortune")).to_be_visible()
        await alice.look("light-both")
        for person in (alice, bob):
            await expect(person.page.locator("#shown-words, #nothing")).to_contain_text(
                ["Nothing of yours waits"], use_inner_text=True
            )
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    for reader, text in ((bob, "Here it is dry."), (alice, "И возьми верёвку.")):
        await reader.page.goto(_place(reader, "/"))
        await reader.page.get_by_role("link", name="Alice" if reader is bob else "Bob").click()
        await expect(reader.row(text)).to_have_count(1)
    for writer, text in ((alice, "Here it is dry."), (bob, "И возьми верёвку.")):
        await expect(writer.row(text).locator(".state")).to_have_text("Delivered")


async def _watches(reader: Person, other: Person) -> None:
    """The camera of one is held before the screen of the other."""
    while True:
        url = await other.page.evaluate("document.getElementById('code').toDataURL()")
        await reader.page.evaluate("url => window.look(url)", url)

"""The whole first-run story between two people, in a real browser, over real nodes and a relay."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Locator, Page, async_playwright, expect
from tests.app.web.live import launch
from tests.app.web.scenes import landscape
from tests.end_to_end.browsing import Film, Person
from tests.end_to_end.processes import VOLOK, RelayProcess

ALICE_WORDS, BOB_WORDS = "seven boats over a hill", "nine oars in the reeds"
ROUNDS = 5
SHORT_TIMER = 2
"""Seconds. The page offers 30 and more; what it posts may be any number."""

WATCH_PREVIEWS = """() => {
  window.previews = [];
  new MutationObserver(() => {
    for (const image of document.querySelectorAll("img.blurred")) window.previews.push(image.src);
  }).observe(document.getElementById("log"), { childList: true, subtree: true });
}"""


@pytest.fixture
def patience() -> Iterator[None]:
    """What is awaited may take its time where other tests use the processor too."""
    expect.set_options(timeout=60_000)
    yield
    expect.set_options(timeout=None)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("patience")
async def test_the_first_run_of_two_people(tmp_path: Path) -> None:
    film = Film(tmp_path / "camera.mjpeg")
    film.show(landscape(640, 480))
    relay = await RelayProcess.on(tmp_path / "relay")
    try:
        async with async_playwright() as playwright:
            browser = await launch(playwright, f"--use-file-for-fake-video-capture={film.path}")
            async with (
                Person.arrives(browser, tmp_path, "Alice", ALICE_WORDS) as alice,
                Person.arrives(browser, tmp_path, "Bob", BOB_WORDS) as bob,
            ):
                await _story(alice, bob, relay, film)
    finally:
        await relay.stop()


async def _story(alice: Person, bob: Person, relay: RelayProcess, film: Film) -> None:
    await asyncio.gather(_onboarding(alice, relay.url), _onboarding(bob, ""))
    await _invite(alice, bob, film)
    with alice.stays(), bob.stays():
        await _words(alice, bob)
        await _pictures(alice, bob)
        await _voice(alice, bob)
        await _second_thoughts(alice, bob)
        await _view_once(alice, bob)
    await _safety(alice, bob, film)
    await _disappearing(alice, bob)
    await _lock(alice, bob)
    await _restart(alice, bob)
    await _search(bob)
    await _panic(bob)
    for person in (alice, bob):
        assert person.problems == []
        assert person.witness.found == []


async def _onboarding(person: Person, relay: str) -> None:
    page = person.page
    await expect(page.get_by_role("heading", name="Welcome to Volok")).to_be_visible()
    await page.get_by_label("Your name").fill(person.name)
    for summary in await page.locator("summary").all():
        await summary.click()
    await page.get_by_label("Passphrase", exact=True).fill(person.passphrase)
    await page.get_by_label("The same again").fill(person.passphrase)
    await page.get_by_label("Addresses of relays").fill(relay)
    if relay:
        await person.look("01-welcome")
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_role("heading", name=f"Hello, {person.name}")).to_be_visible()
    if relay:
        await person.look("02-begin")


async def _invite(alice: Person, bob: Person, film: Film) -> None:
    """Alice shows a code; Bob's camera sees it, and both land in a conversation."""
    page = alice.page
    await page.get_by_role("link", name="Invite a friend").click()
    await expect(page.locator("h1")).to_have_text("Invite somebody")
    await alice.look("03-invites")
    await page.get_by_role("button", name="Make an invite").click()
    link = await page.get_by_label("Invite link").input_value()
    assert len(link) <= 200
    film.show(await page.locator("img.qr").screenshot())
    await alice.look("04-invite")

    await bob.page.get_by_role("link", name="Accept an invite").click()
    await expect(bob.page.locator("h1")).to_have_text("Accept an invite")
    await bob.look("03-accept")
    await bob.page.get_by_role("button", name="Scan a QR code").click()
    await expect(bob.page.locator("h1")).to_have_text("Alice")
    await bob.look("05-fresh")

    await page.get_by_role("link", name="Bob").click()
    await expect(page.locator("h1")).to_have_text("Bob")


async def _words(alice: Person, bob: Person) -> None:
    """Both write; each text is on the other's page within a second, beside what a busy machine
    takes to draw nothing new; and is read there."""
    seconds: list[float] = []
    idle: list[float] = []
    for number in range(ROUNDS):
        for writer, reader in ((alice, bob), (bob, alice)):
            text = f"Word {number} of {writer.name}"
            await writer.page.locator("#text").fill(text)
            start = time.perf_counter()
            await writer.page.keyboard.press("Enter")
            await reader.row(text).wait_for()
            seconds.append(time.perf_counter() - start)
            start = time.perf_counter()
            await reader.page.evaluate("new Promise(requestAnimationFrame)")
            idle.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 1 + 5 * statistics.median(idle), (seconds, idle)
    await asyncio.gather(*(_at_once(person) for person in (alice, bob)))
    for person in (alice, bob):
        for number in range(ROUNDS):
            row = person.row(f"Word {number} of {person.name}")
            await expect(row).to_have_count(1)
            await expect(row.locator(".state")).to_have_text("Read")
        await expect(person.page.locator(".row", has_text="At once")).to_have_count(2 * ROUNDS)
        await expect(person.page.locator(".contact .badge")).to_have_count(0)
    await bob.look("06-words")


async def _at_once(person: Person) -> None:
    for number in range(ROUNDS):
        await person.types(f"At once {number} from {person.name}")


async def _pictures(alice: Person, bob: Person) -> None:
    """One by the file chooser, one pasted; a large one shows its preview until it is there."""
    await bob.page.evaluate(WATCH_PREVIEWS)
    await _pick_large(alice, "The river today")
    await alice.look("07-tray")
    shown = await _arrives(alice, bob, "The river today")
    previews = await bob.page.evaluate("window.previews")
    for turn in range(5):  # a picture that is there before its row is drawn needs no preview
        if previews:
            break
        await _pick_large(alice, f"The river, once more: {turn}")
        await _arrives(alice, bob, f"once more: {turn}")
        previews = await bob.page.evaluate("window.previews")
    assert previews
    assert all(source.startswith("data:image/webp;base64,") for source in previews)
    await shown.click()
    await expect(bob.page.locator("#lightbox img")).to_have_js_property("naturalWidth", 2000)
    await bob.page.keyboard.press("Escape")

    await _paste(bob.page, landscape(900, 1200))
    await expect(bob.page.locator("#tray img")).to_be_visible()
    await bob.types("And the hill")
    await expect(alice.row("And the hill").locator("[data-picture] img")).to_have_js_property(
        "naturalWidth", 900
    )
    await bob.look("08-pictures")


async def _pick_large(sender: Person, text: str) -> None:
    """Put a large picture and a text into the composer."""
    await sender.picks("river.jpg", _large())
    await sender.page.locator("#text").fill(text)


async def _arrives(sender: Person, receiver: Person, text: str) -> Locator:
    """Send what is in the composer; returns the picture once the receiver has it whole."""
    await sender.page.locator("#send").click()
    picture = receiver.row(text).locator("[data-picture] img")
    await expect(picture).to_have_js_property("naturalWidth", 2000)
    return picture


def _large() -> bytes:
    """A picture that hardly shrinks, so that carrying it takes a moment."""
    picture = Image.effect_noise((2000, 1300), 90).convert("RGB")
    picture.paste(Image.open(io.BytesIO(landscape(1800, 1100))), (100, 100))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=95)
    return data.getvalue()


async def _paste(page: Page, jpeg: bytes) -> None:
    await page.evaluate(
        """(data) => {
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([bytes], "hill.jpg", { type: "image/jpeg" }));
          const event = new ClipboardEvent("paste", { clipboardData, bubbles: true });
          document.getElementById("text").dispatchEvent(event);
        }""",
        base64.b64encode(jpeg).decode(),
    )


async def _voice(alice: Person, bob: Person) -> None:
    """The microphone beeps; what it recorded plays on the other side."""
    await alice.page.locator("#record").click()
    await expect(alice.page.locator("#recorded")).to_have_text("0:01")
    await alice.page.get_by_role("button", name="Send the voice message").click()
    player = bob.page.locator(".row.theirs .voice")
    await player.get_by_role("button").click()
    await expect(player.get_by_role("button")).to_have_attribute("aria-label", "Pause")
    await expect(player.locator("input")).not_to_have_value("0")
    await expect(player.get_by_role("button")).to_have_attribute(
        "aria-label", "Play the voice message"
    )
    await bob.look("09-voice")


async def _second_thoughts(alice: Person, bob: Person) -> None:
    """A reaction, an answer, a better wording, and a deletion for everyone."""
    last = f"Word {ROUNDS - 1} of Alice"
    sheet = await bob.menu(bob.row(last))
    await bob.look("10-menu")
    await sheet.get_by_role("button", name="❤️").click()
    await expect(alice.row(last).locator(".reaction")).to_have_text("❤️")

    sheet = await bob.menu(bob.row(last))
    await sheet.get_by_role("button", name="Answer").click()
    await expect(bob.page.locator("#composer-note")).to_contain_text(last)
    await bob.types("To this I say yes")
    await expect(alice.row("To this I say yes").locator(".quote")).to_contain_text(last)

    sheet = await bob.menu(bob.row("To this I say yes"))
    await sheet.get_by_role("button", name="Edit").click()
    await bob.types("To this I say no")
    better = alice.row("To this I say no")
    await expect(better).to_contain_text("edited")
    await expect(alice.row("To this I say yes")).to_have_count(0)

    await bob.types("Burn after reading")
    await alice.row("Burn after reading").wait_for()
    sheet = await bob.menu(bob.row("Burn after reading"))
    await sheet.get_by_role("button", name="Delete for everyone").click()
    for person in (alice, bob):
        await expect(person.row("Message deleted")).to_have_count(1)
        await expect(person.row("Burn after reading")).to_have_count(0)
    await alice.look("11-second-thoughts")


async def _view_once(alice: Person, bob: Person) -> None:
    await alice.picks("secret.jpg", landscape(600, 400))
    await alice.page.get_by_label("View once").check()
    await alice.page.locator("#send").click()
    offer = bob.page.locator("button.once")
    await offer.wait_for()
    await bob.look("12-once")
    place = await offer.get_attribute("data-once")
    assert place is not None
    await offer.click()
    await expect(bob.page.locator("#lightbox img")).to_have_js_property("naturalWidth", 600)
    await bob.page.keyboard.press("Escape")
    await expect(bob.page.locator(".once.spent")).to_contain_text("Viewed")
    again = "path => fetch(path, { method: 'POST' }).then((answer) => answer.status)"
    assert await bob.page.evaluate(again, place) == 422


async def _safety(alice: Person, bob: Person, film: Film) -> None:
    """Both see the same 60 digits; Bob's camera compares the codes, after a wrong one."""
    numbers: list[str] = []
    for person in (alice, bob):
        await person.page.get_by_title("About this person").click()
        shown = await person.page.locator(".digits").inner_text()
        numbers.append("".join(shown.split()))
    await alice.look("13-person")
    assert numbers[0] == numbers[1]
    assert re.fullmatch(r"\d{60}", numbers[0])

    await bob.page.get_by_role("button", name="Scan their code").click()
    await expect(bob.page.get_by_role("alert").first).to_contain_text("The codes differ")
    film.show(await alice.page.locator("img.qr").screenshot())
    await bob.page.get_by_role("button", name="Scan their code").click()
    await expect(bob.page.get_by_role("alert").first).to_contain_text("The safety numbers match")
    await bob.look("14-match")
    for person in (alice, bob):
        await person.page.get_by_role("link", name="Back").click()
    await expect(bob.page.locator(".bar")).to_contain_text("Verified")
    await expect(alice.page.locator(".bar")).to_contain_text("Not verified yet")


async def _disappearing(alice: Person, bob: Person) -> None:
    """The timer is set for both; what was written under it goes from both pages."""
    await alice.page.get_by_title("About this person").click()
    await alice.page.get_by_label("Messages disappear after").select_option("30 seconds")
    await alice.page.locator("form", has=alice.page.locator("#timer")).get_by_role("button").click()
    for person in (alice, bob):
        await person.page.goto(person.page.url.removesuffix("/about"))
        await expect(person.page.locator(".bar")).to_contain_text("30 seconds")
    await _set_timer(alice.page, SHORT_TIMER)
    await expect(bob.page.locator(".bar")).to_contain_text("2 seconds")
    with alice.stays(), bob.stays():
        await alice.types("Gone in a moment")
        await bob.row("Gone in a moment").wait_for()
        await expect(alice.row("Gone in a moment")).to_have_count(0)
        await expect(bob.row("Gone in a moment")).to_have_count(0)
        await _set_timer(alice.page, 0)
        await expect(bob.page.locator(".bar")).not_to_contain_text("seconds")
    await bob.look("15-disappeared")


async def _set_timer(page: Page, seconds: int) -> None:
    """What the form of the contact page does, with a number of our own."""
    await page.evaluate(
        """(seconds) => fetch(`${location.pathname}/about`, {
          method: "POST", body: new URLSearchParams({ what: "timer", seconds }),
        })""",
        str(seconds),
    )


async def _lock(alice: Person, bob: Person) -> None:
    """Locked, no page of Alice's holds anything; what Bob writes meanwhile comes afterwards."""
    other = await alice.context.new_page()
    await other.goto(alice.page.url)
    await other.locator("#text").fill("never sent")
    await alice.page.get_by_role("button", name="Lock now").click()
    for page in (alice.page, other):
        await expect(page.get_by_role("heading", name="Volok is locked")).to_be_visible()
        await _tells_nothing(page)
    await other.close()
    await alice.page.go_back()
    await expect(alice.page.get_by_role("heading", name="Volok is locked")).to_be_visible()
    await _tells_nothing(alice.page)
    await alice.look("16-locked")

    await bob.types("Are you asleep?")
    await expect(bob.row("Are you asleep?").locator(".state")).to_have_text("On a relay")

    await alice.page.get_by_label("Passphrase").fill("seven boats")
    await alice.page.get_by_role("button", name="Unlock").click()
    await expect(alice.page.get_by_role("alert")).to_have_text(
        "This passphrase does not open the vault. Check the keyboard layout and try again."
    )
    await alice.look("17-wrong")
    await alice.page.get_by_label("Passphrase").fill(alice.passphrase)
    await alice.page.get_by_role("button", name="Unlock").click()
    await expect(alice.page.locator(".contact .badge")).to_contain_text("1")
    await alice.look("18-unlocked")
    await alice.page.get_by_role("link", name="Bob").click()
    await expect(alice.row("Are you asleep?")).to_have_count(1)


async def _tells_nothing(page: Page) -> None:
    content = await page.content()
    for word in ("Bob", "Word", "river", "never sent"):
        assert word not in content
    assert await page.evaluate("sessionStorage.length + localStorage.length") == 0


async def _restart(alice: Person, bob: Person) -> None:
    """Bob's node ends and starts again: the old page says so, the new one has it all."""
    before = await bob.page.locator(".row").count()
    link = await bob.restarts()
    await expect(bob.page.locator("#stopped")).to_be_visible()
    await expect(bob.page.locator("#status")).to_be_hidden()
    await bob.look("19-stopped")
    await bob.page.goto(link)
    await expect(bob.page.get_by_role("heading", name="Volok is locked")).to_be_visible()
    await bob.page.get_by_label("Passphrase").fill(bob.passphrase)
    await bob.page.get_by_role("button", name="Unlock").click()
    await bob.page.get_by_role("link", name="Alice").click()
    await expect(bob.page.locator(".row")).to_have_count(before)
    await expect(bob.row("The river today").locator("[data-picture] img")).to_have_js_property(
        "naturalWidth", 2000
    )
    await bob.types("Here again")
    await alice.row("Here again").wait_for()
    await bob.look("20-restarted")


async def _search(person: Person) -> None:
    """What is found is shown in its place, be it at the beginning or the last of all."""
    page = person.page
    for words, text in (("word 0 alice", "Word 0 of Alice"), ("here again", "Here again")):
        await page.get_by_role("link", name="Search").click()
        await page.get_by_label("Search in all messages").fill(words)
        await page.locator(".results a", has_text=text).click()
        await expect(page.locator(".row:target")).to_contain_text(text)
        await expect(page.locator(".row:target")).to_be_in_viewport()
    await person.look("21-found")


async def _panic(person: Person) -> None:
    """Everything is destroyed: no page and no command brings anything back."""
    page, home = person.page, person.node.home
    await page.get_by_role("link", name="Settings").click()
    await expect(page.locator("h1")).to_have_text("Settings")
    await person.look("22-settings")
    await page.get_by_role("button", name="Destroy everything…").click()
    await person.look("23-panic")
    await page.get_by_role("button", name="Destroy now").click()
    await expect(page.get_by_role("heading", name="Everything here is destroyed")).to_be_visible()
    await person.look("24-destroyed")
    assert [entry.name for entry in home.iterdir()] == ["lock"]
    await page.goto(page.url.replace("/destroyed", "/"))
    await _tells_nothing(page)
    process = await asyncio.create_subprocess_exec(
        *VOLOK,
        *("--home", str(home), "contacts"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await process.communicate()
    assert (process.returncode, printed) == (1, b"")
    assert said.strip()

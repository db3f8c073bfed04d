"""People at their computers: a node of each, a browser before it, and a camera that sees what it is
shown."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, BrowserContext, Locator, Page, expect
from tests.end_to_end.processes import NodeProcess

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = {"phone": (390, 844), "desk": (1280, 800)}
SHOTS = os.environ.get("VOLOK_SCREENSHOTS")
"""A folder for pictures of every stage, for people to look at; none are taken without it."""


@dataclass
class Film:
    """What the fake camera sees: one frame for ever, read anew each time the camera is opened."""

    path: Path

    def show(self, picture: bytes) -> None:
        """Hold a picture before the camera."""
        frame = Image.new("RGB", (640, 480), "white")
        code = Image.open(io.BytesIO(picture)).convert("RGB")
        code.thumbnail((460, 460))
        frame.paste(code, ((640 - code.width) // 2, (480 - code.height) // 2))
        frame.save(self.path, "JPEG", quality=95)


@dataclass
class Witness:
    """Looks at every page that a person sees, at both widths: axe-core, and a picture if wanted."""

    name: str
    found: list[str] = field(default_factory=list)

    async def look(self, page: Page, stage: str) -> None:
        """Examine the page as it is now. What is found is kept for the end of the story."""
        await page.evaluate(AXE.read_text())
        for width, (across, down) in WIDTHS.items():
            await page.set_viewport_size({"width": across, "height": down})
            result = await page.evaluate("axe.run(document)")
            assert result["passes"], "axe looked at nothing"
            self.found += [
                f"{self.name} {stage} {width}: {one['id']}: {one['help']}: "
                + json.dumps([node["target"] for node in one["nodes"]][:4])
                for one in result["violations"]
            ]
            if SHOTS:
                folder = Path(SHOTS)
                folder.mkdir(parents=True, exist_ok=True)
                await page.screenshot(path=folder / f"{self.name}-{stage}-{width}.png")


@dataclass
class Person:
    """Somebody with a node of their own and a page before them."""

    name: str
    passphrase: str
    node: NodeProcess
    context: BrowserContext
    page: Page
    witness: Witness
    problems: list[str]
    """Errors of scripts and refusals of the CSP, in any of their pages."""

    @classmethod
    @asynccontextmanager
    async def arrives(
        cls, browser: Browser, folder: Path, name: str, passphrase: str
    ) -> AsyncIterator[Person]:
        """Start Volok in a folder that is not there yet, and open the link that it prints; at the
        end, close the pages and end the node."""
        home = folder / name
        arguments = ("--home", str(home), "up", "--no-browser", "--port", "0", "--json")
        node = NodeProcess(arguments, name=name, home=home)
        try:
            link = json.loads(await node.start())["url"]
            person = await cls._sits_down(browser, node, passphrase)
            await person.page.goto(link)
            yield person
            await person.context.close()
        finally:
            await node.stop()

    @classmethod
    async def _sits_down(cls, browser: Browser, node: NodeProcess, passphrase: str) -> Person:
        across, down = WIDTHS["desk"]
        context = await browser.new_context(
            viewport={"width": across, "height": down},
            locale="en-GB",
            reduced_motion="reduce",
            permissions=["camera", "microphone", "clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(60_000)
        problems: list[str] = []
        context.on("weberror", lambda error: problems.append(str(error.error)))
        context.on(
            "console",
            lambda line: problems.append(line.text) if "Content Security" in line.text else None,
        )
        page = await context.new_page()
        return cls(node.name, passphrase, node, context, page, Witness(node.name), problems)

    async def restarts(self) -> str:
        """End the node with SIGTERM and start it anew; returns the new link."""
        process = self.node.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        return str(json.loads(await self.node.start())["url"])

    async def look(self, stage: str) -> None:
        """See `Witness.look`."""
        await self.witness.look(self.page, stage)

    def row(self, text: str) -> Locator:
        """The message with this text."""
        return self.page.locator(".row", has_text=text)

    async def types(self, text: str) -> None:
        """Write a message and send it with the keyboard."""
        await self.page.locator("#text").fill(text)
        await self.page.keyboard.press("Enter")

    async def menu(self, row: Locator) -> Locator:
        """Open the actions of a message."""
        await row.hover()
        await row.locator(".more").click()
        sheet = self.page.locator("#sheet[open]")
        await sheet.wait_for()
        return sheet

    async def picks(self, name: str, data: bytes) -> None:
        """Choose a file with the file chooser."""
        async with self.page.expect_file_chooser() as chooser:
            await self.page.get_by_title("Attach files").click()
        await (await chooser.value).set_files(
            {"name": name, "mimeType": "image/jpeg", "buffer": data}
        )
        await expect(self.page.locator("#tray img")).to_be_visible()

    @contextmanager
    def stays(self) -> Iterator[None]:
        """The page is not loaded anew inside of the block."""
        loads: list[str] = []

        def note(page: Page) -> None:
            loads.append(page.url)

        self.page.on("domcontentloaded", note)
        yield
        self.page.remove_listener("domcontentloaded", note)
        assert loads == []

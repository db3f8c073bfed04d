"""Pictures of every page in every state, both widths and both themes, to be looked at by people:
`python -m tests.app.web.screenshots FOLDER [NAME-PART]` from the root of the project."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

from .fake_node import FakeNode
from .live import launch, serve
from .tour import STOPS

WIDTHS = {"phone": (390, 844), "desk": (1280, 800)}


async def main(folder: Path, part: str) -> None:
    """Visit every stop of the tour and save what it looks like."""
    folder.mkdir(parents=True, exist_ok=True)
    async with (
        async_playwright() as playwright,
        await launch(playwright) as browser,
        serve(FakeNode(), Path(tempfile.mkdtemp())) as site,
    ):
        for width, (across, down) in WIDTHS.items():
            context = await browser.new_context(
                viewport={"width": across, "height": down},
                reduced_motion="reduce",
                has_touch=width == "phone",
                is_mobile=width == "phone",
                permissions=["camera", "microphone"],
            )
            page = await context.new_page()
            for stop in STOPS:
                if part in stop.name:
                    await stop.visit(page, site)
                    for theme in stop.themes:
                        await page.emulate_media(color_scheme=theme)
                        await page.screenshot(path=folder / f"{stop.name}-{width}-{theme}.png")
            await context.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))

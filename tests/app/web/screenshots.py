"""Pictures of every page in every state, both widths and both themes, to be looked at by people:
`python -m tests.app.web.screenshots FOLDER [NAME-PART]` from the root of the project."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

from .live import launch
from .tour import STOPS

WIDTHS = {"phone": (390, 844), "desk": (1280, 800)}


async def main(folder: Path, part: str) -> None:
    """Visit every stop of the tour and save what it looks like."""
    folder.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        for stop in STOPS:
            if part not in stop.name:
                continue
            for width, (across, down) in WIDTHS.items():
                for theme in stop.themes:
                    context = await browser.new_context(
                        viewport={"width": across, "height": down},
                        color_scheme=theme,
                        locale=stop.locale,
                        reduced_motion="reduce",
                        has_touch=width == "phone",
                        is_mobile=width == "phone",
                        permissions=["camera", "microphone"],
                    )
                    with tempfile.TemporaryDirectory() as scratch:
                        async with stop.opened(context, Path(scratch)) as page:
                            name = f"{stop.name}-{width}-{theme}.png"
                            await page.screenshot(path=folder / name)
                    await context.close()
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))

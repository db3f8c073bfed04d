"""The doctor's page: one examination at a time, in the background, with its progress.

What came out stays in memory until the node is locked.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from volok.app.web import forms
from volok.app.web.doctor_words import Told, told
from volok.app.web.errors import STATED, moved, sentence
from volok.app.web.interface import NodeError
from volok.app.web.paths import ways
from volok.app.web.paths_interface import WebWays
from volok.app.web.render import fragment, language_of, shell
from volok.paths.doctor_report import Examination, Progress, Step


@dataclass
class Examiner:
    """The examinations of one app."""

    _of: WebWays | None = None
    """Whose ways were looked at; another one's are not to be told of them."""
    progress: Progress | None = None
    examination: Examination | None = None
    error: Exception | None = None
    _running: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def runs(self) -> bool:
        """Whether one is under way."""
        return self._running is not None and not self._running.done()

    def start(self, known: WebWays, thorough: bool) -> None:
        """Begin, unless one is under way already."""
        if not (self.runs and self._of is known):
            self.forget()
            self._of = known
            self._running = asyncio.create_task(self._examine(known, thorough))

    def look(self, known: WebWays) -> None:
        """Forget what belongs to a node that was locked meanwhile."""
        if self._of is not known:
            self.forget()

    def forget(self) -> None:
        """End what runs, and drop what came out."""
        if self._running is not None:
            self._running.cancel()
        self._of = self.progress = self.examination = self.error = self._running = None

    async def _examine(self, known: WebWays, thorough: bool) -> None:
        try:
            async for found in known.examine(thorough):
                if isinstance(found, Progress):
                    self.progress = found
                else:
                    self.examination = found
        except STATED as error:
            self.error = error
        except Exception:  # whatever broke, the page has to say that it ended
            self.error = NodeError("The doctor could not finish. Try again.")
            raise


def examiner(request: Request) -> Examiner:
    """The examiner of this app, without what belongs to a locked node."""
    found: Examiner = request.app.state.examiner
    try:
        known = ways(request)
    except Exception:
        found.forget()
        raise
    found.look(known)
    return found


async def doctor(request: Request) -> Response:
    """GET /doctor, and POST: begin (with `thorough`: also what may cost a relay for minutes)."""
    at = examiner(request)
    if request.method == "POST":
        at.start(ways(request), forms.flag(await forms.form(request), "thorough"))
        return moved(request, "/doctor#result")
    return await shell(request, "doctor.html", **_values(request, at))


async def progress(request: Request) -> Response:
    """GET /doctor/progress: how far it is, or what came out."""
    at = examiner(request)
    return await fragment(request, "_doctor.html", **_values(request, at))


def _values(request: Request, at: Examiner) -> dict[str, Any]:
    words: Told | None = None
    if at.examination is not None and not at.runs:
        words = told(at.examination.diagnosis, at.examination.names, language_of(request))
    return {
        "runs": at.runs,
        "step": at.progress.step.value if at.progress else "",
        "share": _share(at.progress),
        "words": words,
        "failed": sentence(request, at.error) if at.error else None,
    }


def _share(progress: Progress | None) -> int:
    """How much is done, in per cent; each step is about a third."""
    if progress is None:
        return 2
    before = {Step.NAMES: 2, Step.PLACES: 25, Step.SIDES: 75}[progress.step]
    width = {Step.NAMES: 23, Step.PLACES: 50, Step.SIDES: 23}[progress.step]
    return before + width * progress.done // max(progress.of, 1)


async def close(at: Examiner) -> None:
    """End what runs when the app ends."""
    running = at._running
    at.forget()
    if running is not None:
        with suppress(asyncio.CancelledError):
            await running

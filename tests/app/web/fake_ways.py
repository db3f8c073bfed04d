"""The ways of the fake node: rows in memory, and a doctor that says what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from volok.app.web.interface import NodeError
from volok.app.web.paths_interface import WayRow, WayTrial
from volok.paths.doctor import diagnose
from volok.paths.doctor_report import Examination, Progress, Step
from volok.paths.doctor_seen import Observations
from volok.paths.webdav import OWNER_LEARNS

LEARNS = OWNER_LEARNS


class FakeWays:
    """Satisfies WebWays."""

    def __init__(self) -> None:
        self.listed: list[WayRow] = []
        self.added: list[tuple[str, dict[str, str]]] = []
        self.removed: list[str] = []
        self.failure: Exception | None = None
        self.trial = WayTrial(0.31)
        self.seen = Observations()
        self.names: dict[str, str] = {}
        self.asked: list[bool] = []
        self.goes_on = asyncio.Event()
        """Until it is set, an examination stays in its first step."""
        self.goes_on.set()

    async def rows(self) -> Sequence[WayRow]:
        return self.listed

    def kinds(self) -> Mapping[str, str | None]:
        served = dict.fromkeys(("webdav", "s3", "sftp", "mail", "tor", "proxy", "lan"), LEARNS)
        return {"folder": None, **served}

    async def add(self, kind: str, fields: Mapping[str, str]) -> None:
        if self.failure is not None:
            raise self.failure
        self.added.append((kind, dict(fields)))
        name = fields.get("where") or kind
        self.listed.append(WayRow(f"drop:{name}", "drop", name, "", LEARNS, removable=True))

    async def remove(self, id: str) -> None:
        if all(row.id != id for row in self.listed):
            raise NodeError("There is no such way.")
        self.removed.append(id)
        self.listed = [row for row in self.listed if row.id != id]

    async def test(self, id: str) -> WayTrial:
        return self.trial

    async def examine(self, thorough: bool) -> AsyncIterator[Progress | Examination]:
        self.asked.append(thorough)
        yield Progress(Step.NAMES, 1, 3)
        await self.goes_on.wait()
        if self.failure is not None:
            raise self.failure
        yield Progress(Step.PLACES, 3, 3)
        yield Examination(diagnose(self.seen), self.names)

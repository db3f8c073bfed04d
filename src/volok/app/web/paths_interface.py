"""What the pages about paths are handed: the ways of a node as rows, and what can be done to them.

`volok.app.ways.Ways` satisfies `WebWays`. A kind of way that can be added is known to the pages by
its offer (`volok.app.web.paths_offers`), which says what has to be filled in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from volok.paths.doctor_report import Examination, Progress

Group = Literal["straight", "added", "drop"]


@dataclass(frozen=True, slots=True)
class WayRow:
    """One way out, for a person. Texts are English sentences; known ones are translated."""

    id: str
    group: Group
    """`straight`: what the program does by itself. `added`: paths that the person added. `drop`:
    places where messages are left."""
    name: str
    """What the person knows it by."""
    about: str
    """In a few words what it is; empty where the name says it."""
    learns: str
    """What others can see of its use."""
    used: bool = False
    """Whether it carries something now."""
    problem: str | None = None
    """Why it does not work."""
    files: int | None = None
    """Of a drop: how many files of ours lie there."""
    bytes: int = 0
    relays: tuple[str, ...] = ()
    """The relays that it is for; empty: all."""
    only: bool = False
    """Whether those relays are never reached in another way."""
    removable: bool = False


@dataclass(frozen=True, slots=True)
class WayTrial:
    """How a way did when it was tried."""

    seconds: float | None
    """None: it did not get through."""
    problem: str = ""


class WebWays(Protocol):
    """The ways of a node. Methods raise the errors of `volok.app.web.errors.STATED`."""

    async def rows(self) -> Sequence[WayRow]:
        """All ways, the cheapest of each group first."""

    def kinds(self) -> Mapping[str, str | None]:
        """The kinds that can be added, and what the owner of such a place sees: a sentence that
        the person has to agree to before the first use; None where nobody owns it."""

    async def add(self, kind: str, fields: Mapping[str, str]) -> None:
        """Add a way of this kind with what was filled in. Raises NodeError and others."""

    async def remove(self, id: str) -> None: ...

    async def test(self, id: str) -> WayTrial: ...

    def examine(self, thorough: bool) -> AsyncIterator[Progress | Examination]:
        """Have the doctor look: its progress, then what it came to."""

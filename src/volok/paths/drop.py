"""What a drop is: a place where files can be left and found, such as a folder or a bucket.

Whoever looks into a drop sees files of random names and one suffix. They are written whole or not
at all, and only their writer deletes them. Everything else that lies there is left alone.

A mail account is a drop, too, but an addressed one: there a file is what a mail carries, and
whoever it was for deletes it (docs/adr/0019-mail.md).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from volok.paths.live import PathError

SUFFIX = ".dat"
NAME_BYTES = 16
MOST_LISTED = 20_000
"""Files of our kind that one listing gives at most; of more, the newest."""
MOST_LOOKED_AT = 100_000
"""Entries of any kind that one listing looks at."""

_NAME = re.compile(r"[0-9a-f]{32}\.dat")


class DropError(PathError):
    """This drop cannot be used at the moment."""


class DropGone(DropError):
    """The folder is not there at the moment. Plug in the stick, or check the address."""


class DropRefused(DropError):
    """The owner of this drop does not let you in. Check the user name, password and permissions."""


class DropFull(DropError):
    """There is no space left in this drop. Nothing was lost; what waits goes there later."""


class DropConfused(DropError):
    """What answers at this address is not the kind of place that was named."""


class FileMissing(DropError):
    """This file is not in the drop any more."""


class FileReturned(DropError):
    """What was sent to this person was not taken. It is sent again later."""


@dataclass(frozen=True, slots=True)
class DropCapabilities:
    """What a drop can do and what it shows. The scheduler chooses by these."""

    latency: float
    """Seconds between two looks into it."""
    owner_learns: str
    """One plain sentence for the person: what the owner of the place can see."""
    addressed: bool = False
    """Whether what is left goes to one person and is out of our sight from then on, as with mail.
    Then what lies here is what came in, and whoever took it deletes it."""
    gap: float = 0.0
    """Seconds between two times that something is left here, at least."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One file that lies in a drop."""

    name: str
    size: int
    """Bytes."""
    time: float | None
    """When it was written, in Unix seconds, as the place tells; None when it does not."""


class Drop(Protocol):
    """A place for files. Every method raises DropError with a sentence for the person."""

    @property
    def capabilities(self) -> DropCapabilities: ...

    async def list(self) -> Sequence[FileInfo]:
        """The files whose names are of our kind, at most MOST_LISTED, in no order."""

    async def get(self, name: str, most: int) -> bytes:
        """The first `most` bytes of a file, or all if it is shorter. Raises FileMissing."""

    async def put(self, name: str, data: bytes) -> None:
        """Leave a file; it appears under its name only when whole. An addressed drop sends it to
        ourselves, where it appears under another name."""

    async def delete(self, name: str) -> None:
        """Remove a file and whatever a broken `put` left of it; missing is fine."""

    @property
    def change(self) -> asyncio.Event | None:
        """Set when something changed here since it was cleared, by whomever; None while nobody
        tells, so that one has to look."""
        return None

    async def close(self) -> None:
        """Release what is held open; never raises."""

    # What follows is for addressed drops; other places know nothing of persons. A contact is named
    # by an id that means nothing here.

    def reaches(self, contact: str) -> bool:
        """Whether something can be left here for this contact."""
        return True

    async def put_for(self, contact: str, name: str, data: bytes) -> None:
        """`put`, for this contact. Raises FileReturned when it is refused for this contact."""
        await self.put(name, data)

    async def came_from(self, name: str, contact: str) -> None:
        """A file that was listed held something new from this contact."""
        return None

    async def returned(self, sent: Collection[str]) -> Mapping[str, str]:
        """Which of these files, sent by `put_for`, came back by the latest listing, and why in a
        sentence. `delete` removes what came back."""
        return {}

    def notice(self) -> str | None:
        """What the person should know of this place though it works, in a sentence."""
        return None


def drop_name(random: bytes) -> str:
    """The name of a file, from 16 random bytes."""
    return random.hex() + SUFFIX


def is_drop_name(name: str) -> bool:
    """Whether a name is of the kind that `drop_name` makes."""
    return _NAME.fullmatch(name) is not None


def newest(files: Sequence[FileInfo]) -> Sequence[FileInfo]:
    """At most MOST_LISTED of these files, the newest."""
    if len(files) <= MOST_LISTED:
        return files
    return sorted(files, key=lambda file: file.time or 0.0, reverse=True)[:MOST_LISTED]

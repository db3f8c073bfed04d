"""The Python interface for bots and bridges, exported as `volok.Node`.

    async with volok.Node(home) as node:
        await node.send("Bob", "Hello")
        async for message in node.messages():
            ...

Where a node is up for the home (`volok up`), this talks to it; otherwise it runs one of its own for
as long as the block lasts. What is sent is queued durably first and carried as relays allow.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from volok.app.access import access
from volok.app.commands import CommandSet
from volok.app.errors import AppError
from volok.app.home import default_home
from volok.app.settings import NodeSettings
from volok.app.shapes import Json


class PassphraseNeeded(AppError):
    """This Volok is locked by a passphrase. Pass it as `volok.Node(home, passphrase=...)`."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a bot sees it."""

    id: str
    contact: str
    """Id of the contact whose conversation this is; `Node.send` takes it."""
    sender: str
    """The contact's name, or `me`."""
    text: str
    sent_at: int
    """Unix milliseconds."""
    state: str
    """A value of `volok.chat.views.MessageState`."""
    files: tuple[str, ...]
    """Names of attached files."""


class Node:
    """A node, from inside a program. Raises the errors of `volok.app.errors.STATED`."""

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        passphrase: str | None = None,
        settings: NodeSettings | None = None,
    ) -> None:
        """`home` is a folder set up by `volok init`; by default the one the command line uses."""
        self._home = Path(home).absolute() if home is not None else default_home(os.environ)
        self._passphrase = passphrase
        self._settings = settings or NodeSettings()
        self._stack = AsyncExitStack()
        self._commands: CommandSet | None = None

    async def __aenter__(self) -> Node:
        self._commands = await self._stack.enter_async_context(
            access(self._home, self._settings, self._secret, background=True)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._commands = None
        await self._stack.aclose()

    async def send(self, contact: str, text: str = "", files: Sequence[str | Path] = ()) -> Message:
        """Queue a message to a contact (name or id) durably and return it."""
        paths = [str(Path.cwd() / file) for file in files]
        return _message(await self._open().send(contact, text, paths))

    async def messages(self) -> AsyncIterator[Message]:
        """Yield unread messages of others, then each new one as it comes, for ever.

        Those that came together count as seen only when the next one after them is asked for: a
        bot that stops in the middle gets them again.
        """
        async for shape in self._open().incoming():
            yield _message(shape)

    async def contacts(self) -> list[Json]:
        """Everybody we talk to, as `volok contacts --json` gives them."""
        return await self._open().contacts()

    async def invite(self, days: int = 7, multiple: bool = False) -> str:
        """Make an invite; returns its link."""
        return str((await self._open().invite(days, multiple, None))["link"])

    async def accept(self, link: str) -> str:
        """Accept an invite's link; returns the id of the new contact."""
        return str((await self._open().accept(link))["id"])

    async def status(self) -> Json:
        """How the node is connected, as `volok status --json` gives it."""
        return await self._open().status()

    def _open(self) -> CommandSet:
        if self._commands is None:
            raise AppError("Use the node inside `async with volok.Node(...)`.")
        return self._commands

    def _secret(self) -> str:
        if self._passphrase is None:
            raise PassphraseNeeded
        return self._passphrase


def _message(shape: Json) -> Message:
    return Message(
        id=shape["id"],
        contact=shape["contact_id"],
        sender=shape["from"],
        text=shape["text"],
        sent_at=shape["sent_at"],
        state=shape["state"],
        files=tuple(file["name"] for file in shape["files"]),
    )

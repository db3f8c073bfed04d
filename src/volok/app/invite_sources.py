"""Where the sealed bundle of an invite may lie: on its relays, and with its inviter nearby."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from volok.chat.kit import FetchInvite
from volok.chat.views import ChatError

_GRACE = 1.0
"""Seconds that the other sources have once one of them has given something."""


class InviteSources:
    """The `FetchInvite` of chat, over all that were added, at the same time."""

    def __init__(self, relays: FetchInvite) -> None:
        self._sources = [relays]

    def add(self, source: FetchInvite) -> None:
        """Ask this one, too."""
        self._sources.append(source)

    async def __call__(self, relays: Sequence[str], secret: bytes) -> list[str]:
        """What any of them has. Raises the ChatError of one when none has anything."""
        tasks = [asyncio.ensure_future(source(relays, secret)) for source in self._sources]
        contents: list[str] = []
        problem: ChatError | None = None
        waiting = set(tasks)
        try:
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting,
                    timeout=_GRACE if contents else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not done:
                    break
                for task in done:
                    try:
                        contents += task.result()
                    except ChatError as error:
                        problem = error
        finally:
            for task in tasks:
                task.cancel()
            with suppress(Exception):
                await asyncio.gather(*tasks, return_exceptions=True)
        if not contents and problem is not None:
            raise problem
        return list(dict.fromkeys(contents))

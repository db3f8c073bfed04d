"""Fetching what lies on relays for the locator of an invite (NIP-01, NIP-42), once.

Every relay is asked at the same time, over a connection of its own that ends with the answer. What
comes back is only what was asked for and is signed as it says; whether it is the invite, chat
decides by its hash.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress

from volok.chat.views import ChatError
from volok.model.auth import auth_event
from volok.model.crypto import Signer
from volok.model.event import Event, verify_event
from volok.model.filters import Filter
from volok.model.urls import InvalidUrl, normalise_relay_url
from volok.paths.live import LivePath, PathError, Socket
from volok.sync.describe import describe
from volok.sync.messages import (
    Auth,
    AuthChallenge,
    Closed,
    Eose,
    EventFor,
    InvalidMessage,
    Ok,
    RelayMessage,
    Req,
    parse_relay_message,
)
from volok.sync.settings import SyncSettings

SEALED = 1059
_MOST_EVENTS = 20
_MOST_FRAMES = 200
_GRACE = 3.0
"""Seconds that slower relays have once one of them has given something."""


class InviteFetcher:
    """The `FetchInvite` of chat, over a live path."""

    def __init__(
        self, path: LivePath, signer: Signer, now: Callable[[], float], wait: float
    ) -> None:
        """`now` gives Unix seconds; `wait` is how many seconds all relays together have."""
        self._path = path
        self._signer = signer
        self._now = now
        self._wait = wait

    async def __call__(self, relays: Sequence[str], secret: bytes) -> list[str]:
        """The contents of the kind-1059 events addressed to the key of `secret` (32 bytes).

        Raises ChatError when not one relay answers.
        """
        tasks = {asyncio.create_task(self._ask(url, secret)) for url in relays}
        contents: list[str] = []
        answered = False
        deadline = asyncio.get_running_loop().time() + self._wait
        waiting = set(tasks)
        try:
            while waiting:
                left = deadline - asyncio.get_running_loop().time()
                done, waiting = await asyncio.wait(
                    waiting, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                for task in done:
                    with suppress(PathError, InvalidUrl):
                        contents += task.result()
                        answered = True
                if contents:
                    deadline = min(deadline, asyncio.get_running_loop().time() + _GRACE)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not answered:
            raise ChatError(
                "No relay of this invite can be reached. Check your connection and try again; "
                "without a network, ask for the invite as a file."
            )
        return list(dict.fromkeys(contents))

    async def _ask(self, url: str, secret: bytes) -> list[str]:
        """Ask one relay. Raises PathError, InvalidUrl."""
        relay = normalise_relay_url(url)
        socket = await self._path.websocket(relay)
        try:
            return await self._dialogue(socket, relay, secret)
        finally:
            await socket.close()

    async def _dialogue(self, socket: Socket, relay: str, secret: bytes) -> list[str]:
        public = self._signer.public_key(secret).hex()
        question = (Filter(kinds=frozenset({SEALED}), tags={"p": frozenset({public})}),)
        await socket.send(Req("open", question).to_text())
        contents: list[str] = []
        given = asked_again = showing = ""
        corrected = False
        for _ in range(_MOST_FRAMES):
            match _parse(await socket.receive()):
                case AuthChallenge(challenge) if not showing:
                    given = challenge
                    showing = await self._show(socket, relay, secret, given, 0)
                case Ok(event_id, False) if event_id == showing and not corrected:
                    # Perhaps only our clock is wrong: ask for the relay's, and show the key again.
                    corrected = True
                    said = await describe(relay, self._path, self._now, SyncSettings())
                    showing = await self._show(socket, relay, secret, given, said.ahead)
                case Ok(event_id) if event_id == showing and not asked_again:
                    asked_again = "shown"
                    await socket.send(Req(asked_again, question).to_text())
                case EventFor(_, event) if _belongs(event, public, self._signer):
                    contents.append(event.content)
                    if len(contents) >= _MOST_EVENTS:
                        return contents
                # Before our key is shown, an empty answer may only mean that it has to be.
                case Eose(name) if contents or name == asked_again or not showing:
                    return contents
                case Closed(name) if name == asked_again:
                    return contents
                case _:
                    continue
        return contents

    async def _show(
        self, socket: Socket, relay: str, secret: bytes, challenge: str, ahead: int
    ) -> str:
        """Show our key; `ahead` is added to our clock. Returns the id of the event that does."""
        proof = auth_event(self._signer, secret, relay, challenge, int(self._now()) + ahead)
        await socket.send(Auth(proof).to_text())
        return proof.id


def _parse(text: str) -> RelayMessage | None:
    try:
        return parse_relay_message(json.loads(text))
    except (InvalidMessage, ValueError, RecursionError):
        return None


def _belongs(event: Event, public: str, signer: Signer) -> bool:
    return event.kind == SEALED and public in event.values("p") and verify_event(event, signer)

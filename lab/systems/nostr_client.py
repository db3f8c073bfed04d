"""A plain Nostr client on the bench: `nostr-sdk` (rust-nostr), unmodified, with the same relays.

Messages are NIP-17 private messages in NIP-59 gift wraps, written to all three relays. A message
that no relay took is written again every few seconds, as a patient person would do it: the library
has no queue of its own. It has no Blossom either, so there are no pictures.

The library trusts the public authorities that are compiled into it and no others, so it would
refuse the lab's. Its own extension point for transports is used instead, with the `websockets`
library and its usual settings: TLS by OpenSSL, a ping every 20 seconds.

Run as a module in a person's host, with the relays as its arguments, this is the driver.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from datetime import timedelta

import nostr_sdk as sdk  # type: ignore[import-untyped]
from nostr_sdk.nostr_sdk import uniffi_set_event_loop  # type: ignore[import-untyped]
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from lab.systems import PEOPLE, Arrival, Bench, Driver, SystemFailed, serve, show_text

GIFT_WRAP = 1059
PATIENCE = 60.0
"""Seconds for the first connection while nothing is blocked."""
CONNECTING = timedelta(seconds=10)
"""For one attempt to connect."""
TRY_AGAIN = 3.0
"""Seconds until a message that no relay took is written again."""


class NostrClient:
    """Three people with a client each."""

    name = "nostr-client"
    sends_pictures = False
    uses_relays = True
    uses_mail = False

    def __init__(self) -> None:
        self._drivers: dict[str, Driver] = {}

    async def setup(self, world: Bench) -> None:
        """See System."""
        for person in PEOPLE:
            plain = [url.partition("#")[0] for url in world.relays]  # the pin is ours
            driver = await Driver.start(world, person, __name__, *plain)
            self._drivers[person] = driver
        async with asyncio.timeout(PATIENCE):
            keys = await asyncio.gather(*(self._drivers[name].ask("connect") for name in PEOPLE))
        people = dict(zip(PEOPLE, keys, strict=True))
        for driver in self._drivers.values():
            await driver.ask("meet", people=people)

    async def send(self, sender: str, receiver: str, text: str) -> None:
        """See System."""
        await self._drivers[sender].ask("send", to=receiver, text=text)

    async def received(self, person: str) -> list[Arrival]:
        """See System."""
        return list(self._drivers[person].texts)

    async def send_picture(self, sender: str, receiver: str, data: bytes) -> None:
        """See System."""
        raise SystemFailed("This client sends no pictures.")

    async def pictures(self, person: str) -> list[float]:
        """See System."""
        return []

    async def paths(self) -> list[str]:
        """See System."""
        return ["direct"]

    async def close(self) -> None:
        """See System."""
        await asyncio.gather(*(driver.close() for driver in self._drivers.values()))


class _Transport(sdk.CustomWebSocketTransport):  # type: ignore[misc]
    """Websockets for the library."""

    def support_ping(self) -> bool:
        """No: `websockets` pings by itself."""
        return False

    async def connect(self, url: str, proxy: str | None) -> sdk.WebSocketAdapterWrapper:
        """Open one. Raises NostrSdkError."""
        try:
            opened = await connect(url, max_size=None, open_timeout=CONNECTING.total_seconds())
        except (OSError, WebSocketException) as error:
            raise sdk.NostrSdkError.Generic("no connection") from error
        return sdk.WebSocketAdapterWrapper(_Adapter(opened))


class _Adapter(sdk.WebSocketAdapter):  # type: ignore[misc]
    """One websocket, as the library wants it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, msg: sdk.WebSocketMessage) -> None:
        """Write a message. Raises NostrSdkError."""
        try:
            if msg.is_text():
                await self._socket.send(msg.text)
            elif msg.is_binary():
                await self._socket.send(msg.bytes)
        except (OSError, WebSocketException) as error:
            raise sdk.NostrSdkError.Generic("closed") from error

    async def recv(self) -> sdk.WebSocketMessage | None:
        """The next message; None at the end."""
        try:
            got = await self._socket.recv()
        except (OSError, WebSocketException):
            return None
        if isinstance(got, str):
            return sdk.WebSocketMessage.TEXT(got)
        return sdk.WebSocketMessage.BINARY(got)

    async def close_connection(self) -> None:
        """Close it."""
        await self._socket.close()


class _Hand:
    """The driver's side: one client."""

    def __init__(self, relays: list[str]) -> None:
        self._relays = relays
        self._keys = sdk.Keys.generate()
        self._people: dict[str, sdk.PublicKey] = {}
        self._queue: asyncio.Queue[sdk.Event] = asyncio.Queue()
        builder = sdk.ClientBuilder().authenticator(sdk.SignerAuthenticator(self._keys))
        builder = builder.websocket_transport(_Transport())
        self._client = builder.connect_timeout(CONNECTING).build()

    async def drive(self) -> None:
        """Serve the scenario until it closes our input."""
        notifications = self._client.notifications()
        async with asyncio.TaskGroup() as tasks:
            others = [
                tasks.create_task(self._listen(notifications)),
                tasks.create_task(self._write(tasks)),
            ]
            await serve({"connect": self._connect, "meet": self._meet, "send": self._send})
            for task in others:
                task.cancel()
        await self._client.shutdown()

    async def _connect(self) -> str:
        for url in self._relays:
            await self._client.add_relay(sdk.RelayUrl.parse(url))
        report = await self._client.try_connect(CONNECTING)
        if report.failed:
            raise SystemFailed(f"no connection to {len(report.failed)} relays")
        mine: str = self._keys.public_key().to_hex()
        wanted = sdk.Filter.from_json(json.dumps({"kinds": [GIFT_WRAP], "#p": [mine]}))
        await self._client.subscribe(sdk.ReqTarget.auto([wanted]))
        return mine

    async def _meet(self, people: dict[str, str]) -> None:
        self._people = {name: sdk.PublicKey.parse(key) for name, key in people.items()}

    async def _send(self, to: str, text: str) -> None:
        wrapped = sdk.nip17_make_private_msg(self._keys, self._people[to], text)
        self._queue.put_nowait(wrapped)

    async def _write(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            event = await self._queue.get()
            tasks.create_task(self._write_one(event))

    async def _write_one(self, event: sdk.Event) -> None:
        while True:
            with suppress(sdk.NostrSdkError):
                if (await self._client.send_event(event)).success:
                    return
            await asyncio.sleep(TRY_AGAIN)

    async def _listen(self, notifications: sdk.ClientNotificationStream) -> None:
        while (notification := await notifications.next()) is not None:
            if notification.is_new_event():
                gift = notification.event
                try:
                    opened = sdk.UnwrappedGift.from_gift_wrap(self._keys, gift)
                except sdk.NostrSdkError:
                    continue
                show_text(opened.rumor().content())


async def _main(relays: list[str]) -> None:
    # Its callbacks come from a thread of its own.
    uniffi_set_event_loop(asyncio.get_running_loop())
    await _Hand(relays).drive()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))

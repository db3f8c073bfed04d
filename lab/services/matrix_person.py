"""The driver of a person who writes with Matrix, by `matrix-nio` with encryption.

It runs in the person's host; its arguments are the homeserver, the person's Matrix name, the
password, and a folder of its own.

All time-outs and retries are the library's: 60 seconds for a request, 45 for a sync, none for a
file, and connections are tried for ever with growing pauses. A transaction keeps its number when it
is tried again, so that the server takes it once. What the server or the library refuses is tried
again after `TRY_AGAIN`, as a patient person would.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import ClientError
from nio import (
    AsyncClient,
    AsyncClientConfig,
    JoinResponse,
    LoginResponse,
    MatrixRoom,
    MemoryDownloadResponse,
    RoomCreateResponse,
    RoomEncryptedImage,
    RoomMessageText,
    RoomPreset,
    RoomSendResponse,
    UploadResponse,
)
from nio.crypto.attachments import decrypt_attachment
from nio.exceptions import (
    EncryptionError,
    LocalProtocolError,
    SendRetryError,
)

from lab.systems import SystemFailed, serve, show_picture, show_text

SYNC_MILLISECONDS = 30_000
"""How long the server may keep a sync waiting for news; the value of the library's examples."""
TRY_AGAIN = 3.0
"""Seconds until what was refused is tried again."""
LOOK = 0.1
"""Seconds between two looks at a state of which the library gives no notice."""
ENCRYPTED = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}
REFUSALS = (ClientError, EncryptionError, LocalProtocolError, SendRetryError, TimeoutError)


class _Hand:
    """One client. A room is known by the Matrix name of the other person in it."""

    def __init__(self, url: str, user: str, folder: Path) -> None:
        self._user = user
        self._client = AsyncClient(
            url,
            user,
            store_path=str(folder),
            config=AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True),
        )
        self._rooms: dict[str, str] = {}
        self._queues: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def drive(self, password: str) -> None:
        """Serve the scenario until it closes our input."""
        answer = await self._client.login(password)
        if not isinstance(answer, LoginResponse):
            raise SystemFailed("The homeserver does not let us in.")
        self._client.add_event_callback(self._show_text, RoomMessageText)
        self._client.add_event_callback(self._await_picture, RoomEncryptedImage)
        self._begin(self._sync())
        await serve(
            {
                "open": self._open,
                "join": self._join,
                "knows": self._knows,
                "send": self._send,
                "send_picture": self._send_picture,
            }
        )
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, guest: str) -> str:
        """Make a room for two, with encryption, as clients do for a private conversation."""
        answer = await self._client.room_create(
            is_direct=True,
            preset=RoomPreset.trusted_private_chat,
            invite=[guest],
            initial_state=[ENCRYPTED],
        )
        if not isinstance(answer, RoomCreateResponse):
            raise SystemFailed("The homeserver makes no room.")
        return str(answer.room_id)

    async def _join(self, room: str) -> None:
        if not isinstance(await self._client.join(room), JoinResponse):
            raise SystemFailed("The homeserver lets nobody join.")

    async def _knows(self, rooms: dict[str, str]) -> None:
        """Wait until all are in the rooms, and their devices and keys are known."""
        while not all(map(self._is_ready, rooms.values(), rooms)):  # noqa: ASYNC110 (no event)
            await asyncio.sleep(LOOK)
        self._rooms = rooms
        for other in rooms:
            self._queues[other] = asyncio.Queue()
            self._begin(self._write(other))

    def _is_ready(self, number: str, other: str) -> bool:
        room = self._client.rooms.get(number)
        return (
            room is not None
            and room.encrypted
            and {self._user, other} <= set(room.users)
            and any(self._client.device_store.active_user_devices(other))
        )

    async def _send(self, to: str, text: str) -> None:
        self._queues[to].put_nowait({"msgtype": "m.text", "body": text})

    async def _send_picture(self, to: str, file: str) -> None:
        self._begin(self._upload(to, await asyncio.to_thread(Path(file).read_bytes)))

    async def _upload(self, to: str, data: bytes) -> None:
        """Upload first, then queue the message that says where it is."""
        while True:
            with suppress(*REFUSALS):
                answer, key = await self._client.upload(
                    lambda *_: BytesIO(data),
                    "image/jpeg",
                    "picture.jpg",
                    encrypt=True,
                    filesize=len(data),
                )
                if isinstance(answer, UploadResponse):
                    break
            await asyncio.sleep(TRY_AGAIN)
        self._queues[to].put_nowait(
            {
                "msgtype": "m.image",
                "body": "picture.jpg",
                "info": {"size": len(data), "mimetype": "image/jpeg"},
                "file": {**key, "url": answer.content_uri},
            }
        )

    async def _write(self, to: str) -> None:
        """One message after the other: what was written first is sent first."""
        while True:
            content = await self._queues[to].get()
            number = str(uuid4())
            while True:
                with suppress(*REFUSALS):
                    answer = await self._client.room_send(
                        self._rooms[to],
                        "m.room.message",
                        content,
                        number,
                        ignore_unverified_devices=True,
                    )
                    if isinstance(answer, RoomSendResponse):
                        break
                await asyncio.sleep(TRY_AGAIN)

    async def _sync(self) -> None:
        """The library syncs until something is wrong that it does not expect."""
        while True:
            with suppress(*REFUSALS):
                await self._client.sync_forever(timeout=SYNC_MILLISECONDS, full_state=True)
            await asyncio.sleep(TRY_AGAIN)

    async def _show_text(self, _room: MatrixRoom, event: RoomMessageText) -> None:
        if event.sender != self._user:
            show_text(event.body)

    async def _await_picture(self, _room: MatrixRoom, event: RoomEncryptedImage) -> None:
        if event.sender != self._user:
            self._begin(self._download(event))

    async def _download(self, event: RoomEncryptedImage) -> None:
        while True:
            with suppress(*REFUSALS):
                answer = await self._client.download(event.url)
                if isinstance(answer, MemoryDownloadResponse):
                    proof = event.hashes["sha256"]
                    decrypt_attachment(answer.body, event.key["k"], proof, event.iv)
                    show_picture()
                    return
            await asyncio.sleep(TRY_AGAIN)


async def _main(url: str, user: str, password: str, folder: str) -> None:
    logging.disable()  # what the library says names devices
    await _Hand(url, user, Path(folder)).drive(password)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

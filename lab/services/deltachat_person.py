"""The driver of a person who writes with Delta Chat.

It runs in the person's host, with a folder of its own as its argument, and speaks to Delta Chat's
core (`deltachat-rpc-server`) through the library that belongs to it (`deltachat_rpc_client`). That
library blocks, so each call has a thread for as long as it lasts.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import deltachat_rpc_server
from deltachat_rpc_client import Account, Chat, DeltaChat, EventType, Rpc
from deltachat_rpc_client.const import DownloadState

from lab.systems import serve, show_picture, show_text

JOINED = 1000
"""The progress of an introduction that is complete, in thousandths."""


class _Hand:
    """One account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._chats: dict[str, Chat] = {}
        self._met = asyncio.Condition()
        self._unfinished: set[int] = set()

    async def drive(self) -> None:
        """Serve the scenario until it closes our input."""
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._listen())
            await serve(
                {
                    "sign_in": self._sign_in,
                    "invite": self._invite,
                    "accept": self._accept,
                    "knows": self._knows,
                    "send": self._send,
                    "send_picture": self._send_picture,
                }
            )
            listening.cancel()

    async def _sign_in(self, login: dict[str, Any]) -> None:
        await asyncio.to_thread(self._account.add_or_update_transport, login)
        await asyncio.to_thread(self._account.start_io)

    async def _invite(self) -> str:
        return await asyncio.to_thread(self._account.get_qr_code)

    async def _accept(self, code: str) -> None:
        await asyncio.to_thread(self._account.secure_join, code)

    async def _knows(self, addresses: list[str]) -> None:
        async with self._met:
            await self._met.wait_for(lambda: self._chats.keys() >= set(addresses))

    async def _send(self, to: str, text: str) -> None:
        await asyncio.to_thread(self._chats[to].send_text, text)

    async def _send_picture(self, to: str, file: str) -> None:
        await asyncio.to_thread(self._chats[to].send_file, file)

    async def _listen(self) -> None:
        while True:
            event = await asyncio.to_thread(self._account.wait_for_event)
            match event.kind:
                case EventType.INCOMING_MSG:
                    await self._look(event.msg_id)
                case EventType.MSGS_CHANGED if event.msg_id in self._unfinished:
                    await self._look(event.msg_id)
                case EventType.SECUREJOIN_INVITER_PROGRESS | EventType.SECUREJOIN_JOINER_PROGRESS:
                    if event.progress == JOINED:
                        await self._meet(event.contact_id)

    async def _look(self, number: int) -> None:
        """A large message comes in two parts: first that it exists, then what it holds."""
        message = self._account.get_message_by_id(number)
        seen = await asyncio.to_thread(message.get_snapshot)
        if seen.is_info:
            return
        if seen.download_state != DownloadState.DONE:
            self._unfinished.add(number)
            return
        self._unfinished.discard(number)
        if seen.file:
            show_picture()
        elif seen.text:
            show_text(seen.text)

    async def _meet(self, number: int) -> None:
        contact = self._account.get_contact_by_id(number)
        address = (await asyncio.to_thread(contact.get_snapshot)).address
        chat = await asyncio.to_thread(contact.create_chat)
        async with self._met:
            self._chats[address] = chat
            self._met.notify_all()


async def _main(folder: Path) -> None:
    program = Path(deltachat_rpc_server.__file__).with_name("deltachat-rpc-server")
    with (folder / "core.log").open("wb") as log:
        core = Rpc(str(folder / "accounts"), str(program), stderr=log)
        with core:
            await _Hand(DeltaChat(core).add_account()).drive()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))

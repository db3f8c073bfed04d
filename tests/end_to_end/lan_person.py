"""Somebody with a node in a process of their own, who does what standard input says: lines of JSON
`[COMMAND, ARGUMENT...]`, each answered by `{"value": ...}` or `{"error": TEXT}` on one line.

Run as a module with the folder and the name.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import uvloop
from tests.end_to_end.nodes import Person

from volok.app.courier import memory_of
from volok.app.lan import LanChoice
from volok.app.lan_presence import PresenceSettings
from volok.chat.records import setting
from volok.chat.views import FileKind, FileState, Outgoing
from volok.sync.drops import load_own

PATIENCE = 20.0


class Hand:
    """The commands: the methods without an underscore."""

    def __init__(self, person: Person) -> None:
        self._person = person

    async def lan(self, on: bool, carry: bool = False) -> dict[str, Any]:
        await self._person.node.lan.choose(LanChoice(on, carry))
        return await self.view()

    async def view(self) -> dict[str, Any]:
        return asdict(await self._person.node.lan.view())

    async def sees(self, contacts: int) -> None:
        """Return when so many contacts are there."""
        lan = self._person.node.lan
        while True:
            moved = lan.moves()
            if (await lan.view()).contacts == contacts:
                return
            await moved()

    async def carried(self) -> list[str]:
        """The names of the files that are carried; a folder gives no notice of what comes."""
        folder = self._person.node.home.carried
        return sorted(path.name for path in folder.glob("*.dat")) if folder.exists() else []

    async def left_for(self, who: str) -> list[str]:
        """The names of our own files among them that are for this contact."""
        contact = await self._person.to(who)
        parts = self._person.node._open()
        text = await parts.vault.read(lambda tx: str(setting(tx, memory_of("lan")[0], "[]")))
        return [own.name for own in load_own(text) if own.contact == contact]

    async def invite(self) -> str:
        return (await self._person.chat.invite()).link

    async def accept(self, link: str) -> None:
        await self._person.accept(link)

    async def accept_at_once(self, link: str) -> None:
        await self._person.node.lan.choose(LanChoice(on=True))
        await self._person.accept(link)

    async def block(self, who: str) -> None:
        await self._person.chat.block(await self._person.to(who), True)

    async def say(self, who: str, text: str) -> None:
        await self._person.say(who, text)

    async def renewed_after(self, seconds: float) -> None:
        """Have names last this long (and up to twice as long) from now on."""
        lan = self._person.node.lan
        lan.settings = replace(lan.settings, presence=PresenceSettings(renew=seconds))
        await lan.choose(LanChoice(on=True))

    async def texts(self, who: str, *texts: str) -> None:
        """Return when the conversation ends with these texts, in this order."""

        async def there() -> bool:
            return (await self._person.texts(who))[-len(texts) :] == list(texts)

        await self._person.until(there)

    async def states(self, who: str, *states: str) -> None:
        """Return when every message of theirs to somebody is in one of these states."""

        async def all_there() -> bool:
            return all(m.state.value in states for m in await self._person.talk(who) if m.mine)

        await self._person.until(all_there)

    async def seen(self, who: str) -> None:
        await self._person.chat.seen(await self._person.to(who))

    async def picture(self, who: str, size: int) -> None:
        data = random.Random(size).randbytes(size)
        file = Outgoing("map.jpg", "image/jpeg", data, FileKind.FILE)
        await self._person.chat.send(await self._person.to(who), "", [file])

    async def has_picture(self, who: str, size: int) -> bool:
        """Wait for the picture, and tell whether it is the one that was sent."""

        async def whole() -> bool:
            files = [file for m in await self._person.talk(who) for file in m.files]
            return bool(files) and files[-1].state is FileState.READY

        await self._person.until(whole)
        (*_, last) = [file for m in await self._person.talk(who) for file in m.files]
        _, pieces = await self._person.chat.file(last.id)
        data = b"".join([piece async for piece in pieces])
        return data == random.Random(size).randbytes(size)


async def main(folder: Path, name: str) -> None:
    """Serve until standard input ends."""
    person = await Person.with_relays(folder, name)
    hand = Hand(person)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    print("{}", flush=True)
    while line := await lines.readline():
        command, *arguments = json.loads(line)
        try:
            async with asyncio.timeout(PATIENCE):
                answer = {"value": await getattr(hand, command)(*arguments)}
        except Exception as error:  # the test shows it
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)
    await person.leave()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2]))

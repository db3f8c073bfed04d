"""People with real nodes, and our relay on a real socket whose operator writes everything down."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from volok.app.home import Home
from volok.app.services import Services
from volok.app.settings import NodeSettings
from volok.app.wiring import Parts, open_parts
from volok.chat.invite_codec import locator_secret
from volok.chat.messenger import Messenger
from volok.chat.settings import ChatSettings
from volok.chat.views import Message as Said
from volok.native import NativeCrypto
from volok.relay.asgi import create_app
from volok.relay.export import EVENTS_FILE
from volok.relay.server import serve
from volok.relay.settings import RelaySettings
from volok.relay.uploads import Uploads
from volok.relay.websocket import EXTENSION
from volok.store.file_blobs import FileBlobs
from volok.store.keyslot import KeySlot
from volok.store.sqlite_store import SqliteStore

CRYPTO = NativeCrypto()
NAMES = ("Rosalind Achterberg", "Тимофей Волоцкий", "Xiomara Quispe", "Børge Nyström")
TOPIC = "Nightingales at the old ferry"
"""Begins every text, so that a search for it is one for all of them."""
PATIENCE = 60.0
QUICK = ChatSettings(delete_delay=0.2, delete_jitter=1.8)
"""Days of conversation pass in seconds here, so requests to delete come as much sooner."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One websocket frame as an operator would log it."""

    at: float
    connection: int
    incoming: bool
    text: str = field(repr=False)


@dataclass
class OperatorLog:
    """Everything that passed a relay, connection by connection."""

    frames: list[Frame] = field(default_factory=list)
    connections: int = 0

    def around(self, app: ASGIApp) -> ASGIApp:
        """The same application, with every frame written down."""

        async def logged(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "websocket":
                await app(scope, receive, send)
                return
            self.connections += 1
            accept = scope["extensions"][EXTENSION]["accept"]
            note = partial(self._note, self.connections)
            tapped = {EXTENSION: {"accept": lambda handler: accept(_Tapped(handler, note))}}
            await app({**scope, "extensions": tapped}, receive, send)

        return logged

    def _note(self, connection: int, incoming: bool, text: bytes) -> None:
        self.frames.append(Frame(time.time(), connection, incoming, text.decode()))


class _Tapped:
    """The handler of a websocket and the websocket itself, with someone listening between them."""

    def __init__(self, handler: Any, note: Callable[[bool, bytes], None]) -> None:
        self._handler = handler
        self._note = note
        self._socket: Any = None

    def opened(self, socket: Any) -> None:
        self._socket = socket
        self._handler.opened(self)

    def message_received(self, message: Any) -> None:
        self._note(True, message.payload)
        self._handler.message_received(message)

    def send(self, data: bytes) -> None:
        place = 0
        while place < len(data):  # frames of a server have no mask (RFC 6455, section 5.1)
            more = {126: 2, 127: 8}.get(data[place + 1], 0)
            begin = place + 2 + more
            length = int.from_bytes(data[place + 2 : begin]) if more else data[place + 1]
            place = begin + length
            self._note(False, data[begin:place])
        self._socket.send(data)

    def __getattr__(self, name: str) -> Any:
        ours = name in ("is_writable", "pause", "resume", "close")
        return getattr(self._socket if ours else self._handler, name)


@contextlib.asynccontextmanager
async def running_relay(folder: Path, log: OperatorLog | None = None) -> AsyncIterator[str]:
    """Our relay over `folder`, as `volok relay` runs it, and the URL of its websocket."""
    settings = RelaySettings()
    folder.mkdir(parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        uploads = Uploads(folder / "uploads.bin")
        stack.callback(uploads.close)
        store = await SqliteStore.open(folder / EVENTS_FILE)
        stack.push_async_callback(store.close)
        app: ASGIApp = create_app(
            store, CRYPTO, settings, blobs=FileBlobs(folder / "blobs"), uploads=uploads
        )
        if log is not None:
            app = log.around(app)
        address = await stack.enter_async_context(serve(app, "127.0.0.1", 0, settings))
        yield address.websocket_url


@dataclass
class Person:
    """Somebody whose node is up: wired as the app does it, without its page."""

    name: str
    parts: Parts
    services: Services

    @property
    def chat(self) -> Messenger:
        return self.parts.chat

    @property
    def failures(self) -> Counter[str]:
        """How often a background task of the node has died."""
        return self.services.failures

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Return once it holds; it is asked after each change of the conversations."""
        async with asyncio.timeout(PATIENCE):
            cursor = await self.chat.cursor()
            if await condition():
                return
            async for _ in self.chat.follow(cursor):
                if await condition():
                    return

    async def talk(self, who: Person) -> list[Said]:
        """The conversation with somebody, without the lines of the program."""
        contact = await self.chat.find(who.name)
        said = await self.chat.messages(contact.id, limit=5000)
        return [message for message in said if message.notice is None]

    async def texts(self, who: Person, mine: bool = False) -> list[str]:
        """What they wrote to us, or (`mine`) we to them, in the order shown."""
        return [message.text for message in await self.talk(who) if message.mine is mine]

    async def send(self, who: Person, text: str) -> None:
        """Write to somebody."""
        await self.chat.send((await self.chat.find(who.name)).id, text)

    async def got(self, who: Person, text: str) -> None:
        """Return when this text of theirs is shown."""

        contact = (await self.chat.find(who.name)).id

        async def shown() -> bool:
            latest = await self.chat.messages(contact, limit=20)
            return any(message.text == text for message in latest)

        await self.until(shown)

    async def befriend(self, other: Person) -> None:
        """Invite somebody and return when both nodes know of each other."""
        invite = await self.chat.invite()
        await self.parts.engine.round(PATIENCE)
        contact = await other.chat.accept(invite.link)

        async def met() -> bool:
            return (await other.chat.contact(contact.id)).state.value == "active"

        await other.until(met)

    async def keys(self) -> list[str]:
        """Every public key by which relays know this person: inboxes and places of invites."""
        inboxes, secrets = await self.parts.vault.read(
            lambda tx: (
                tx.execute("SELECT public FROM inbox"),
                tx.execute("SELECT secret FROM invite"),
            )
        )
        places = [CRYPTO.public_key(locator_secret(secret)).hex() for (secret,) in secrets]
        return [public for (public,) in inboxes] + places


@contextlib.asynccontextmanager
async def person(
    name: str, folder: Path, relays: Sequence[str], passphrase: str | None = None
) -> AsyncIterator[Person]:
    """A new node, up until the block is left."""
    home, settings = Home(folder), NodeSettings()
    home.prepare()
    master = await asyncio.to_thread(KeySlot(home.keyslot, CRYPTO).create, passphrase)
    parts = await open_parts(home, master, CRYPTO, time.time, settings, QUICK)
    services = Services(settings.restart_first, settings.restart_most)
    try:
        await parts.chat.set_name(name)
        await parts.chat.set_relays(list(relays))
        services.start("chat", parts.chat.run)
        services.start("sync", parts.engine.run)
        services.start("scopes", partial(_scopes, parts))
        yield Person(name, parts, services)
    finally:
        await services.stop()
        await parts.close()


async def _scopes(parts: Parts) -> None:
    while True:
        changed = parts.chat.scopes_changed()
        await parts.set_scopes()
        await changed()


@dataclass
class Evidence:
    """What four people left at a relay, and what only they know."""

    folder: Path
    """The relay's data folder, as it was when the relay was taken."""
    log: OperatorLog
    owners: dict[str, str]
    """Public keys at the relay to the name of the person behind each."""
    secrets: list[str]
    """What all texts have in common, some of the texts, names and passphrases."""
    failures: Counter[str]


async def four_people(folder: Path, messages: int, seed: int, pause: float) -> Evidence:
    """Let four people befriend each other and talk, then take the relay away in mid-conversation.

    They talk in turns of one to six messages, three pairs at a time, each answering at most
    `pause` seconds after reading.
    """
    random, log = Random(seed), OperatorLog()
    passphrases = [f"correct horse {random.randrange(10**9)}" for _ in NAMES]
    texts: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        relay = contextlib.AsyncExitStack()
        stack.push_async_callback(relay.aclose)
        url = await relay.enter_async_context(running_relay(folder / "relay", log))
        people = [
            await stack.enter_async_context(person(name, folder / f"home-{n}", [url], passphrase))
            for n, (name, passphrase) in enumerate(zip(NAMES, passphrases, strict=True))
        ]
        pairs = list(combinations(people, 2))
        random.shuffle(pairs)
        for pair in pairs:
            host, guest = random.sample(pair, 2)
            await host.befriend(guest)

        async def chatter() -> None:
            while len(texts) < messages:
                writer, reader = random.sample(people, 2)
                for _ in range(random.randint(1, 6)):
                    if len(texts) >= messages:
                        return
                    text = f"{TOPIC}, {len(texts)}, {random.randrange(10**12)}"
                    texts.append(text)
                    await writer.send(reader, text)
                    await reader.got(writer, text)
                    await asyncio.sleep(random.random() * pause)
                    writer, reader = reader, writer

        await asyncio.gather(*(chatter() for _ in range(3)))
        _seize(folder / "relay", folder / "seized")
        await relay.aclose()
        owners = {key: one.name for one in people for key in await one.keys()}
        failures = sum((one.failures for one in people), Counter[str]())
    names = [*NAMES, *(word for name in NAMES for word in name.split())]
    secrets = [TOPIC, *texts[::10], *names, *passphrases]
    return Evidence(folder / "seized", log, owners, secrets, failures)


def _seize(folder: Path, copy: Path) -> None:
    """Take the disk of a running relay, at an instant at which nothing is being written."""
    before = None
    while before != (before := [(p.name, p.stat().st_mtime_ns) for p in folder.iterdir()]):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)

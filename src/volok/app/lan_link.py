"""A link to somebody on the local network who was recognised: what waits for them is pushed, what
they push is taken in.

1. Everything that waits for a receipt of the contact goes over the link once, as parts of a bundle
   sealed to the contact (see `volok.sync.bundle`): the channel is trusted with nothing.
2. A part counts as sent when the other side says that it took it in. What they cannot take now goes
   again later; what is lost with the link goes over the next one.
3. One part at a time is under way and one is taken in: neither side can make the other hold more.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from volok.app.carrying import bundle_keys, sealed_part, take_in
from volok.app.lan_carry import Carrier, first
from volok.app.wiring import Parts
from volok.chat.nearby import Acquaintance, invite_content
from volok.chat.people import Waiting
from volok.model.crypto import Crypto
from volok.paths.lan_channel import Channel, NeighbourLost
from volok.store.blobs import BlobError
from volok.store.store import StoreError
from volok.store.vault import VaultError
from volok.sync.bundle import BundleError
from volok.sync.drops import DropSettings, Item, Put, dressed, plan
from volok.sync.lan import (
    HEAD_BYTES,
    MARKS_BYTES,
    MOST_NAMES,
    MOST_PART,
    NONCE_BYTES,
    Answer,
    Kind,
    Meeting,
    Role,
    file_body,
    fingerprint,
    frame_head,
    marks,
    names_body,
    parse_file,
    parse_head,
    parse_name,
    parse_names,
    parse_part,
    parse_taken,
    part_body,
    recognised,
    taken_body,
)

log = logging.getLogger(__name__)

_ASKED_AT_ONCE = 256
"""Files that are offered and asked for in one frame."""
_PACKING = DropSettings(head_start=0.0, file_bytes=2 << 20, quota=1 << 50)
"""How what waits is packed into parts."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How links on the local network behave. Times are in seconds."""

    recognition: float = 5.0
    """In which two nodes must have found out whether they know each other."""
    answer: float = 120.0
    """In which the other side must have taken in a part."""
    debounce: float = 0.02
    """In which what is written together goes together."""
    gather: float = 0.3
    """In which what is carried for others is gathered before it is offered."""
    later: float = 15.0
    """Until a part that could not be taken in is sent again."""
    useless: int = 20
    """Parts that are of no use to us, before the link is ended."""
    invite_wait: float = 10.0
    """How long a link lasts by which nothing but an invite can be asked for."""


class Hub(Protocol):
    """What a link needs of whoever keeps it."""

    @property
    def known(self) -> Sequence[Acquaintance]:
        """Everybody by whom we are to be known now."""

    @property
    def carrier(self) -> Carrier:
        """What is carried for others, if that is on."""

    def serves(self, link: Link, contact: str) -> bool:
        """Whether it is this link by which a contact gets what waits for them."""

    def changed(self) -> Callable[[], Awaitable[object]]:
        """A waiter for a change of `known` or of what links there are."""


async def recognise(
    channel: Channel,
    secrets: Sequence[Acquaintance],
    random: Callable[[int], bytes],
    wait: float,
) -> list[Acquaintance]:
    """Find out over a fresh channel which of our secrets the other side has, too.

    Raises NeighbourLost, also when it takes longer than `wait` seconds.
    """
    keys = [one.secret for one in secrets]
    try:
        async with asyncio.timeout(wait):
            ours = random(NONCE_BYTES)
            await channel.write(ours)
            theirs = await channel.read(NONCE_BYTES)
            role = Role.DIALLED if channel.dialled else Role.LISTENED
            meeting = Meeting(role, fingerprint(channel.certificate), ours, theirs)
            await channel.write(marks(meeting, keys, random))
            came = await channel.read(MARKS_BYTES)
    except TimeoutError as error:
        raise NeighbourLost from error
    return [secrets[place] for place in recognised(meeting, keys, came, random)]


async def read_frame(channel: Channel) -> tuple[Kind, bytes]:
    """The next frame of a kind that we know. Raises NeighbourLost, InvalidFrame."""
    while True:
        kind, length = parse_head(await channel.read(HEAD_BYTES, patient=True))
        body = await channel.read(length)
        if kind is not None:
            return kind, body


async def ask_for_invite(
    channel: Channel, seek: Acquaintance, random: Callable[[int], bytes], settings: LinkSettings
) -> str | None:
    """The content of the sealed bundle that the other side has for the link of an invite; None
    when it does not know that link. Raises NeighbourLost, InvalidFrame."""
    if not await recognise(channel, [seek], random, settings.recognition):
        return None
    with suppress(TimeoutError):
        async with asyncio.timeout(settings.invite_wait):
            while True:
                kind, body = await read_frame(channel)
                if kind is Kind.INVITE:
                    return body.decode("ascii", errors="replace")
    return None


class Link:
    """One channel whose other end shares at least one of our secrets. `run` serves it."""

    def __init__(
        self,
        channel: Channel,
        shared: Sequence[Acquaintance],
        hub: Hub,
        parts: Parts,
        crypto: Crypto,
        now: Callable[[], float],
        settings: LinkSettings,
    ) -> None:
        """`shared` are the acquaintances that were recognised; `now` gives Unix seconds."""
        self._channel = channel
        self.secrets = frozenset(one.secret for one in shared)
        self._invites = [one.invite for one in shared if one.invite is not None]
        self._hub = hub
        self._parts = parts
        self._crypto = crypto
        self._now = now
        self._settings = settings
        self._writing = asyncio.Lock()
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._number = 0
        self._useless = 0
        self._sent: set[str] = set()
        self._asked: set[bytes] = set()
        self._brought = 0
        self._wanted: asyncio.Queue[bytes] = asyncio.Queue(MOST_NAMES)
        self.contacts: frozenset[str] = frozenset()
        """Who the other side is."""
        self.peer = ""
        """The service name under which it is announced, as it says."""
        self.refresh()

    def refresh(self) -> bool:
        """Look up anew who the other side is; False when it is nobody any more.

        Who was recognised by an invite becomes a contact over the link; who is blocked or forgotten
        is one no more.
        """
        known = self._hub.known
        alive = {one.contact for one in known if one.contact is not None}
        named = {
            one.contact for one in known if one.contact is not None and one.secret in self.secrets
        }
        before = self.contacts
        self.contacts = frozenset(named | (before & alive))
        return bool(self.contacts or not before)

    def end(self) -> None:
        """End it at once."""
        self._channel.close()

    async def run(self, name: str) -> None:
        """Serve it until it ends. `name` is the service name under which we are announced.

        Raises NeighbourLost, InvalidFrame, and what the node's own parts raise.
        """
        await self._send(Kind.HERE, name.encode())
        for invite in self._invites:
            content = await self._parts.vault.read(
                partial(invite_content, crypto=self._crypto, invite=invite)
            )
            if content is not None:
                await self._send(Kind.INVITE, content.encode())
        work = [self._hear(), self._push(), self._offer(), self._hand_over()]
        tasks = [asyncio.ensure_future(each) for each in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, kind: Kind, *body: bytes) -> None:
        async with self._writing:
            await self._channel.write(frame_head(kind, sum(map(len, body))), *body)

    async def _hear(self) -> None:
        while True:
            kind, body = await read_frame(self._channel)
            if kind is Kind.HERE:
                self.peer = parse_name(body)
            elif kind is Kind.PART:
                number, part = parse_part(body)
                answer = await self._take(part)
                await self._send(Kind.TAKEN, taken_body(number, answer))
            elif kind is Kind.TAKEN:
                number, answer = parse_taken(body)
                waiting = self._answers.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
            elif self.contacts and self._hub.carrier.on:
                await self._carry(kind, body)

    async def _carry(self, kind: Kind, body: bytes) -> None:
        carrier = self._hub.carrier
        if kind is Kind.HAVE:
            missing = await carrier.missing(parse_names(body))
            fresh = [name for name in missing if name not in self._asked][:_ASKED_AT_ONCE]
            self._asked.update(fresh)
            if fresh:
                await self._send(Kind.WANT, names_body(fresh))
        elif kind is Kind.WANT:
            for name in parse_names(body):
                with suppress(asyncio.QueueFull):
                    self._wanted.put_nowait(name)
        elif kind is Kind.FILE:
            name, data = parse_file(body)
            self._brought += len(data)
            if name in self._asked and self._brought <= carrier.settings.from_link:
                await carrier.keep(name, data)

    async def _offer(self) -> None:
        """Say what is carried here, as long as both carry."""
        told: set[bytes] = set()
        while True:
            changed, linked = self._hub.carrier.changed(), self._hub.changed()
            if self.contacts and self._hub.carrier.on:
                fresh = [name for name in await self._hub.carrier.names() if name not in told]
                for at in range(0, len(fresh), _ASKED_AT_ONCE):
                    await self._send(Kind.HAVE, names_body(fresh[at : at + _ASKED_AT_ONCE]))
                told.update(fresh)
            await first(changed, linked)
            await asyncio.sleep(self._settings.gather)

    async def _hand_over(self) -> None:
        """Send the files that were asked for, each once."""
        given: set[bytes] = set()
        while True:
            name = await self._wanted.get()
            data = None if name in given else await self._hub.carrier.read(name)
            given.add(name)
            if data:
                await self._send(Kind.FILE, file_body(name, data))

    async def _take(self, part: bytes) -> Answer:
        keys = await bundle_keys(self._parts)
        try:
            await take_in(
                self._parts, io.BytesIO(dressed(part)), keys, self._crypto, int(self._now())
            )
        except BundleError:
            self._useless += 1
            if self._useless > self._settings.useless:
                raise NeighbourLost from None
            return Answer.USELESS
        except (StoreError, BlobError, VaultError, OSError) as error:
            log.warning("What came over the local network was not kept: %s", type(error).__name__)
            return Answer.LATER
        return Answer.TAKEN

    async def _push(self) -> None:
        while True:
            fresh, changed = self._parts.chat.outbox_changed(), self._hub.changed()
            if not self.refresh():
                return
            puts = await self._puts()
            for put in puts:
                if not await self._push_one(put):
                    await asyncio.sleep(self._settings.later)
                    break
            if not puts:
                await first(fresh, changed)
                await asyncio.sleep(self._settings.debounce)

    async def _puts(self) -> Sequence[Put]:
        mine = {contact for contact in self.contacts if self._hub.serves(self, contact)}
        if not mine:
            return ()
        waiting = [_item(one) for one in await self._parts.chat.waiting_contents()]
        items = [
            replace(one, blobs=tuple(blob for blob in one.blobs if blob[0] not in self._sent))
            for one in waiting
            if one.contact in mine and one.key not in self._sent
        ]
        self._sent &= {one.key for one in waiting} | {
            name for one in waiting for name, _ in one.blobs
        }
        return plan((), {}, items, self._now(), _PACKING).puts

    async def _push_one(self, put: Put) -> bool:
        """Send one part; False when it has to be sent again later."""
        data = await sealed_part(self._parts, put.contact, put.numbers, put.blobs, self._crypto)
        answer = Answer.USELESS
        if data is not None and len(data) <= MOST_PART:
            answer = await self._deliver(data)
        if answer is Answer.LATER:
            return False
        self._sent.update(put.blobs)
        if put.numbers:
            self._sent.update(item.key for item in put.items)
        return True

    async def _deliver(self, data: bytes) -> Answer:
        self._number += 1
        number = self._number
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            await self._send(Kind.PART, part_body(number, data))
            async with asyncio.timeout(self._settings.answer):
                return await answer
        except TimeoutError as error:
            raise NeighbourLost from error
        finally:
            del self._answers[number]


def _item(each: Waiting) -> Item:
    return Item(
        contact=each.contact,
        key=f"{each.session.hex()} {each.sequence} {each.number}",
        number=each.number,
        size=each.size,
        since=each.since_ms / 1000,
        by_relay=False,
        blobs=each.blobs,
    )

"""A mail account as a drop: what is left goes to one contact by SMTP, what came lies in IMAP.

1. A mail is a candidate when it has an attachment of the right shape; whether it is ours only the
   sealed file in it tells, to whoever has the key. Nothing else in a mail marks it, and what is not
   ours is neither changed nor marked as read.
2. What is ours is deleted when it was taken, reports that a mail of ours came back are deleted when
   they were heeded, and so are copies that the provider keeps among what was sent.
3. IMAP runs in a thread of its own over one connection that stays open between looks. A connection
   that broke is made anew once per call.
4. The drop knows the addresses of the contacts that may be written to. Where a contact's address is
   not given by the person, it is the one that their latest mail came from.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from volok.paths.drop import (
    NAME_BYTES,
    Drop,
    DropCapabilities,
    DropError,
    DropGone,
    FileInfo,
    FileMissing,
    drop_name,
)
from volok.paths.mail_account import MailAccount
from volok.paths.mail_box import ConnectionGone, FolderState, Mailbox, Unreadable
from volok.paths.mail_cover import MOST_BEFORE, Letter, compose, token_of, uncover
from volok.paths.mail_post import post
from volok.paths.mail_reading import Bounce, encoded_length, opened, read_bounce, read_sender
from volok.paths.mail_structure import Attachment, Node, Report, classify
from volok.paths.names import Dialled
from volok.paths.shape import Dial

T = TypeVar("T")

_CHUNK = 50
"""Mails whose structure is asked for at once."""
_REPORT_BYTES = 16 * 1024
_HEADER_BYTES = 4096
_COPY_LOOKS = 4
"""Looks at what was sent, after each mail: some providers take a while to keep a copy."""
_MOST_COPIES = 100
_FULL = 0.95
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class MailSettings:
    """How a mail account is used as a drop. Times are in seconds."""

    period: float = 60.0
    """Between two looks while nothing happens."""
    days: int = 30
    """Older mails are not looked at: the keys that they were sealed to are gone by then."""
    most: int = 1000
    """The newest mails of a folder that are looked at."""
    patience: float = 30.0
    """For any call."""
    slowest: float = 8_000.0
    """Bytes in a second: a call that carries much may take longer, at this rate."""
    gap: float = 5.0
    """Between two mails, while few were sent lately: providers limit how many one may send."""
    gap_growth: float = 1.25
    """By which the gap grows with each mail of the latest hour..."""
    gap_most: float = 60.0
    """... up to this."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """Verifies servers; None for the authorities of the system."""


@dataclass(slots=True)
class _Folder:
    """What is known of one."""

    state: FolderState
    mails: dict[int, Attachment | Report | None]


class MailDrop(Drop):
    """`Drop` over one mail account."""

    def __init__(
        self,
        account: MailAccount,
        dial: Dial,
        addresses: Mapping[str, str],
        now: Callable[[], float],
        random: Callable[[int], bytes],
        learned: Callable[[str, str], Awaitable[None]],
        settings: MailSettings | None = None,
    ) -> None:
        """`dial` makes connections; `addresses` are those of the contacts, by their ids, and may
        change; `now` gives Unix seconds, `random` so many random bytes; `learned` is told from
        which address a contact wrote."""
        self._account = account
        self._dial = dial
        self._addresses = addresses
        self._now = now
        self._random = random
        self._learned = learned
        self._settings = settings or MailSettings()
        self._thread = ThreadPoolExecutor(1, "mail")
        self._turn = asyncio.Lock()
        self._box: Mailbox | None = None
        self._handle: socket.socket | None = None
        self._folders: dict[bytes, _Folder] = {}
        self._files: dict[str, tuple[bytes, int, Attachment]] = {}
        self._bounces: dict[str, tuple[bytes, int, Bounce]] = {}
        self._copies: dict[str, int] = {}
        self._sent: list[float] = []
        self._fullness: float | None = None
        self._tls = self._settings.tls

    @property
    def capabilities(self) -> DropCapabilities:
        now = self._now()
        recent = sum(0 <= now - at < _HOUR for at in self._sent)
        settings = self._settings
        return DropCapabilities(
            latency=settings.period,
            owner_learns=OWNER_LEARNS,
            addressed=True,
            gap=min(settings.gap * settings.gap_growth ** min(recent, 100), settings.gap_most),
        )

    def notice(self) -> str | None:
        if self._fullness is not None and self._fullness >= _FULL:
            return (
                "Your mailbox is almost full. Make room in it: what does not fit goes back to the "
                "sender, and comes again later."
            )
        return None

    def reaches(self, contact: str) -> bool:
        return contact in self._addresses

    async def list(self) -> Sequence[FileInfo]:
        await self._do(self._look)
        return [
            FileInfo(name, attachment.octets * 3 // 4, None)
            for name, (_, _, attachment) in self._files.items()
        ]

    async def get(self, name: str, most: int) -> bytes:
        folder, uid, attachment = self._place(name)
        wanted = min(attachment.octets, encoded_length(most + MOST_BEFORE))
        section = attachment.section
        coded = await self._do(lambda box: box.part(folder, uid, section, wanted), wanted)
        if coded is None:
            raise FileMissing
        return uncover(opened(coded))[:most]

    async def put(self, name: str, data: bytes) -> None:
        await self._send(self._account.address, name, data)

    async def put_for(self, contact: str, name: str, data: bytes) -> None:
        address = self._addresses.get(contact)
        if address is None:
            raise DropGone("This contact's mail address is not known.")
        await self._send(address, name, data)

    async def delete(self, name: str) -> None:
        bounce = self._bounces.get(token_of(name))
        if name in self._files:
            folder, uid, _ = self._files[name]
            await self._remove(folder, uid)
            self._files.pop(name, None)
        elif bounce is not None:
            await self._remove(bounce[0], bounce[1])
            self._bounces.pop(token_of(name), None)

    async def came_from(self, name: str, contact: str) -> None:
        folder, uid, _ = self._place(name)
        section = "HEADER.FIELDS (FROM)"
        header = await self._do(lambda box: box.part(folder, uid, section, _HEADER_BYTES))
        address = read_sender(header or b"")
        if address is not None and address != self._account.address:
            await self._learned(contact, address)

    async def returned(self, sent: Collection[str]) -> Mapping[str, str]:
        return {
            name: self._bounces[token_of(name)][2].reason
            for name in sent
            if token_of(name) in self._bounces
        }

    async def close(self) -> None:
        self._hang_up()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _send(self, address: str, name: str, data: bytes) -> None:
        settings = self._settings

        def work() -> Letter:
            return compose(self._account.address, address, name, data, self._now(), self._random)

        letter = await asyncio.to_thread(work)
        patience = settings.patience + len(letter.data) / settings.slowest
        await post(self._account, address, letter.data, self._dial, await self._context(), patience)
        self._sent = [*self._sent[-1000:], self._now()]
        self._copies[letter.message_id] = _COPY_LOOKS
        while len(self._copies) > _MOST_COPIES:
            del self._copies[next(iter(self._copies))]

    def _place(self, name: str) -> tuple[bytes, int, Attachment]:
        try:
            return self._files[name]
        except KeyError as error:
            raise FileMissing from error

    async def _remove(self, folder: bytes, uid: int) -> None:
        validity = self._folders[folder].state.validity
        await self._do(lambda box: box.remove(folder, validity, [uid]))

    # What runs in the thread; one call at a time.

    def _look(self, box: Mailbox) -> None:
        since = datetime.fromtimestamp(self._now(), UTC) - timedelta(days=self._settings.days)
        for folder in box.incoming:
            state = box.state(folder)
            known = self._folders.get(folder)
            if known is None or known.state != state:
                mails = known.mails if known and known.state.validity == state.validity else {}
                self._folders[folder] = _Folder(state, self._looked(box, folder, since, mails))
                self._fullness = box.fullness()
        self._files = {
            _name_of(folder, known.state.validity, uid): (folder, uid, kind)
            for folder, known in self._folders.items()
            for uid, kind in known.mails.items()
            if isinstance(kind, Attachment)
        }
        self._clear_copies(box)

    def _looked(
        self,
        box: Mailbox,
        folder: bytes,
        since: datetime,
        known: Mapping[int, Attachment | Report | None],
    ) -> dict[int, Attachment | Report | None]:
        """What each mail may be to us."""
        uids = box.uids(folder, since)[-self._settings.most :]
        found = {uid: known[uid] for uid in uids if uid in known}
        fresh = [uid for uid in uids if uid not in known]
        for at in range(0, len(fresh), _CHUNK):
            chunk = fresh[at : at + _CHUNK]
            structures = _structures(box, folder, chunk)
            for uid in chunk:
                found[uid] = kind = classify(structures.get(uid))
                if isinstance(kind, Report):
                    with suppress(Unreadable):
                        self._read_report(box, folder, uid, kind)
        return found

    def _read_report(self, box: Mailbox, folder: bytes, uid: int, report: Report) -> None:
        original = box.part(folder, uid, report.original, _REPORT_BYTES)
        status = box.part(folder, uid, report.status, _REPORT_BYTES)
        bounce = read_bounce(original or b"", status or b"")
        if bounce is not None:
            self._bounces[bounce.token] = folder, uid, bounce

    def _clear_copies(self, box: Mailbox) -> None:
        """Delete the provider's copies of what we sent."""
        if box.sent is None or not self._copies:
            return
        validity = box.state(box.sent).validity
        for message_id, looks in list(self._copies.items()):
            found = box.find(box.sent, message_id)
            box.remove(box.sent, validity, found)
            self._copies.pop(message_id, None)
            if not found and looks > 1:
                self._copies[message_id] = looks - 1

    async def _do(self, work: Callable[[Mailbox], T], size: int = 0) -> T:
        """Do something with the mailbox, over a connection that is there or a new one."""
        async with self._turn:
            box = self._box
            if box is not None:
                with suppress(ConnectionGone):
                    return await self._in_thread(lambda: work(box), size)
            fresh = self._box = await self._connected()
            return await self._in_thread(lambda: work(fresh), size)

    async def _connected(self) -> Mailbox:
        server, patience = self._account.imap, self._settings.patience
        tls = await self._context()
        try:
            async with asyncio.timeout(patience):
                connection = await self._dial(server.host, server.port)
        except (OSError, TimeoutError) as error:
            raise DropError(f"The mail server {server.host} cannot be reached.") from error
        connection.settimeout(patience)
        # Another handle on the same connection, since TLS takes over the first.
        self._handle = socket.socket(fileno=os.dup(connection.fileno()))

        def work() -> Mailbox:
            return Mailbox.open(connection, self._account, tls)

        box = await self._in_thread(work, 0)
        if isinstance(connection, Dialled):
            connection.proved()
        return box

    async def _in_thread(self, work: Callable[[], T], size: int) -> T:
        settings = self._settings
        try:
            running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError as error:  # it was closed meanwhile
            raise DropError from error
        try:
            async with asyncio.timeout(settings.patience + size / settings.slowest):
                return await asyncio.shield(running)
        except (FileMissing, Unreadable):
            raise
        except BaseException as error:
            # The thread may be inside of a call that only the end of its connection ends.
            self._hang_up()
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()
            if isinstance(error, TimeoutError):
                raise DropError("The mail server does not answer in time.") from error
            raise

    def _hang_up(self) -> None:
        """End the connection at once."""
        handle, self._handle, self._box = self._handle, None, None
        if handle is not None:
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)
            handle.close()

    async def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        return self._tls


OWNER_LEARNS = (
    "Your mail provider, and that of the person you write to, see both addresses, and when mails "
    "with an encrypted file go between you and how large they are; not what is in them. Whoever "
    "runs or watches such a provider can tell that you two are in touch."
)
"""What the person is told before this is first used."""


def _structures(box: Mailbox, folder: bytes, uids: Sequence[int]) -> dict[int, Node]:
    """Of several mails; one that nobody can read spoils no other."""
    with suppress(Unreadable):
        return box.structures(folder, uids)
    found: dict[int, Node] = {}
    for uid in uids:
        with suppress(Unreadable):
            found |= box.structures(folder, [uid])
    return found


def _name_of(folder: bytes, validity: int, uid: int) -> str:
    """What a mail is called as a file."""
    whole = b"%s\0%d %d" % (folder, validity, uid)
    return drop_name(hashlib.sha256(whole).digest()[:NAME_BYTES])

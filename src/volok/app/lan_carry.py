"""Carrying sealed messages for others, from one local network to the next.

1. What is carried lies in one folder of the home, which is a drop like any other (see
   `volok.app.courier`): our own parts, sealed to each contact, and those of others, whom nobody can
   tell apart. Two nodes that both carry and whose people are contacts copy from each other what
   they do not have. Each tries everything with its own keys, as it does in any drop.
2. The space for others is bounded, and so is what one link may bring. Files go after a while.
3. A file that was here once is not taken again: so it dies out everywhere.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from volok.app.courier import Courier, memory_of
from volok.app.wiring import Parts
from volok.chat.kit import Signal
from volok.chat.records import set_setting, setting
from volok.model.crypto import Crypto
from volok.paths.drop import DropError, FileInfo, FileMissing, drop_name
from volok.paths.folder import FolderDrop
from volok.store.blobs import BlobError
from volok.store.store import StoreError
from volok.store.vault import Transaction
from volok.sync.drops import DropSettings, load_own
from volok.sync.lan import NAME_BYTES

_IDENTIFIER = "lan"
_SEEN = "lan-seen"
_DEBOUNCE = 0.1
"""Seconds in which what is written together comes together."""


@dataclass(frozen=True, slots=True)
class CarrySettings:
    """What is carried for others. Times are in seconds, sizes in bytes."""

    quota: int = 64 << 20
    """For what comes from others; when it is full, nothing more is taken."""
    own_quota: int = 32 << 20
    """For what is ours."""
    largest: int = 4 << 20
    """A larger file is not taken."""
    from_link: int = 16 << 20
    """What one link may bring."""
    keep: float = 7 * 86_400.0
    """After which a file of others goes, wherever it was meant to get."""
    head_start: float = 60.0
    """What may go by a relay is handed to others only when no receipt came in this time."""
    remembered: int = 20_000
    """Files that were here once and are not taken again."""
    look: float = 300.0
    """Between two looks for what is too old."""


class Carrier:
    """The folder of what is carried. `run` keeps it while carrying is switched on."""

    def __init__(
        self,
        folder: Path,
        parts: Parts,
        crypto: Crypto,
        now: Callable[[], float],
        settings: CarrySettings | None = None,
    ) -> None:
        """`now` gives Unix seconds."""
        self._folder = folder
        self._parts = parts
        self._crypto = crypto
        self._now = now
        self.settings = settings or CarrySettings()
        self._drop: FolderDrop | None = None
        self._seen: dict[bytes, None] = {}
        self._signal = Signal()

    @property
    def on(self) -> bool:
        """Whether `run` is at work."""
        return self._drop is not None

    def changed(self) -> Callable[[], Awaitable[object]]:
        """A waiter: take it before `names`, await it after."""
        return self._signal.waiter()

    async def run(self) -> None:
        """Leave what waits, try what came, remove what is old; until cancelled."""
        await asyncio.to_thread(self._folder.mkdir, 0o700, True, True)
        seen = await self._parts.vault.read(lambda tx: setting(tx, _SEEN, b""))
        self._seen = dict.fromkeys(_names(seen if isinstance(seen, bytes) else b""))
        packing = DropSettings(
            head_start=self.settings.head_start,
            quota=self.settings.own_quota,
            file_bytes=self.settings.largest // 4,
            largest=self.settings.largest,
        )
        drop = self._drop = FolderDrop(self._folder, self._now)
        try:
            courier = Courier(_IDENTIFIER, drop, self._parts, self._crypto, self._now, packing)
            while True:
                changed, fresh = self._signal.waiter(), self._parts.chat.outbox_changed()
                wait = self.settings.look
                with suppress(DropError, StoreError, BlobError):
                    done = await courier.once()
                    await self._sweep(drop)
                    if done.left or done.removed:
                        self._signal.fire()
                    due = await courier.due_in()
                    wait = min(wait, due if due else wait)
                await first(changed, fresh, seconds=wait)
                await asyncio.sleep(_DEBOUNCE)
        finally:
            self._drop = None
            await drop.close()

    async def clear(self) -> None:
        """Carrying was switched off: nothing of it stays."""
        if not await asyncio.to_thread(self._folder.exists):
            return
        await asyncio.to_thread(shutil.rmtree, self._folder, True)

        def forget(tx: Transaction) -> None:
            for name in (*memory_of(_IDENTIFIER), _SEEN):
                tx.execute("DELETE FROM setting WHERE name = ?", (name,))

        await self._parts.vault.transact(forget)
        self._seen.clear()

    async def names(self) -> list[bytes]:
        """The files that are here, in no order."""
        names = [bytes.fromhex(each.name.partition(".")[0]) for each in await self._listed()]
        return sorted(names, key=lambda _: self._crypto.random(8))

    async def missing(self, names: Sequence[bytes]) -> list[bytes]:
        """Those of the names that were never here."""
        here = set(await self.names())
        return [name for name in names if name not in here and name not in self._seen]

    async def read(self, name: bytes) -> bytes | None:
        """A file that is here; None when it is not, or not any more."""
        with suppress(DropError, FileMissing):
            if self._drop is not None:
                return await self._drop.get(drop_name(name), self.settings.largest)
        return None

    async def keep(self, name: bytes, data: bytes) -> bool:
        """Take a file of somebody else; False when there is no room for it."""
        if self._drop is None or len(data) > self.settings.largest:
            return False
        own = await self._own()
        others = sum(each.size for each in await self._listed() if each.name not in own)
        if others + len(data) > self.settings.quota:
            return False
        self._seen[name] = None
        await self._remember()
        with suppress(DropError):
            await self._drop.put(drop_name(name), data)
            self._signal.fire()
            return True
        return False

    async def _listed(self) -> Sequence[FileInfo]:
        with suppress(DropError):
            if self._drop is not None:
                return await self._drop.list()
        return ()

    async def _own(self) -> set[str]:
        name = memory_of(_IDENTIFIER)[0]
        text = await self._parts.vault.read(lambda tx: str(setting(tx, name, "[]")))
        return {each.name for each in load_own(text)}

    async def _sweep(self, drop: FolderDrop) -> None:
        own, now = await self._own(), self._now()
        for each in await drop.list():
            old = each.time is not None and abs(now - each.time) > self.settings.keep
            if old and each.name not in own:
                await drop.delete(each.name)

    async def _remember(self) -> None:
        while len(self._seen) > self.settings.remembered:
            del self._seen[next(iter(self._seen))]
        seen = b"".join(self._seen)
        await self._parts.vault.transact(lambda tx: set_setting(tx, _SEEN, seen))


def _names(data: bytes) -> list[bytes]:
    return [data[at : at + NAME_BYTES] for at in range(0, len(data), NAME_BYTES)]


async def first(*waiters: Callable[[], Awaitable[object]], seconds: float | None = None) -> None:
    """Return when one of the waiters does, or after so long."""
    tasks = [asyncio.ensure_future(waiter()) for waiter in waiters]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""What conversations are made with: handed in once by the app and passed on explicitly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from volok.chat.hooks import Effects, Hands
from volok.chat.records import Keys
from volok.chat.settings import ChatSettings
from volok.store.blobs import BlobMismatch, Blobs
from volok.store.store import Store
from volok.store.vault import T, Transaction, Vault
from volok.store.vault_deliveries import VaultDeliveries

FetchInvite = Callable[[Sequence[str], bytes], Awaitable[list[str]]]
"""Given relays and a locator's secret key, return the contents of the kind-1059 events addressed
to it, from whichever relays answer. Raises ChatError when none does."""


class Signal:
    """Tells any number of waiters that something changed, without losing a change in between."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Wake everybody who waits now."""
        self._event.set()
        self._event = asyncio.Event()

    def waiter(self) -> Callable[[], Awaitable[object]]:
        """Take this before looking, await it after: a change in between returns at once."""
        return self._event.wait


@dataclass(frozen=True, slots=True)
class Kit:
    """Store, vault, keys and clock of one open node."""

    vault: Vault
    store: Store
    blobs: Blobs
    deliveries: VaultDeliveries
    keys: Keys
    now: Callable[[], float]
    """Unix seconds."""
    settings: ChatSettings
    fetch_invite: FetchInvite
    changed: Signal = field(default_factory=Signal)
    """Fires when the journal has new lines."""
    scopes: Signal = field(default_factory=Signal)
    """Fires when inboxes or relays may have changed."""
    outgoing: Signal = field(default_factory=Signal)
    """Fires when the outbox may hold something to encrypt or seal."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return int(self.now() * 1000)

    async def change(self, work: Callable[[Hands], T]) -> T:
        """Run `work` in a transaction, do what it noted for outside the vault, wake who waits."""
        result = await self.change_quietly(work)
        self.changed.fire()
        self.outgoing.fire()
        return result

    async def change_quietly(self, work: Callable[[Hands], T]) -> T:
        """The same without waking anybody: nothing that a page shows or the outbox holds is new."""
        effects = Effects()

        def inside(tx: Transaction) -> T:
            effects.clear()
            return work(Hands(tx, self.keys, self.settings, effects, self.now_ms()))

        result = await self.vault.transact(inside)
        await self._after(effects)
        return result

    async def _after(self, effects: Effects) -> None:
        if effects.done_events:
            await self.store.delete(effects.done_events)
        for name in effects.gone_blobs:
            await self.blobs.delete(name)
        for name, data in effects.blobs:
            await self._keep(name, data)
        for name in effects.awaited:
            if await self.blobs.has(name):
                await self.deliveries.arrived(name)
        if effects.scopes:
            self.scopes.fire()
        if effects.queued:
            self.deliveries.notify()

    async def _keep(self, name: str, data: bytes) -> None:
        try:
            await self.blobs.put(data, expected=name)
        except BlobMismatch:
            await self.vault.transact(
                lambda tx: tx.execute("DELETE FROM piece WHERE name = ?", (name,))
            )
            return
        await self.deliveries.arrived(name)

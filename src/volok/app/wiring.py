"""The parts of an open node, opened in the order in which they need each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from volok.app.fetch import InviteFetcher
from volok.app.home import Home
from volok.app.invite_sources import InviteSources
from volok.app.paths import NodePaths, PathsSettings
from volok.app.settings import NodeSettings
from volok.chat.messenger import Messenger
from volok.chat.schema import SCHEMA
from volok.chat.settings import ChatSettings
from volok.model.crypto import Crypto, hkdf
from volok.model.urls import relay_host
from volok.paths.tor import TorSettings
from volok.store.file_blobs import FileBlobs
from volok.store.keyslot import STORE_LABEL, VAULT_LABEL
from volok.store.sqlite_store import SqliteStore
from volok.store.vault_connection import Migration
from volok.store.vault_deliveries import VaultDeliveries
from volok.store.vault_sqlite import SqliteVault
from volok.sync.dialogue import InboxKey
from volok.sync.engine import Engine, RelayScope
from volok.sync.settings import SyncSettings

MIGRATIONS = tuple(Migration(number, sql) for number, sql in enumerate(SCHEMA, start=1))
"""The schema of the vault: its tables belong to chat and to the delivery log."""

UPLOADS_LABEL = b"volok uploads v1"
"""Separates the keys of upload tokens from the others under the master key."""

_SESSIONS = 1000
"""Sessions that may wait for a connection at once; more than anybody has relays."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that holds keys while a node is open."""

    master: bytes
    """The master key, 32 bytes; a backup is written with it."""
    vault: SqliteVault
    store: SqliteStore
    blobs: FileBlobs
    deliveries: VaultDeliveries
    chat: Messenger
    engine: Engine
    paths: NodePaths
    invites: InviteSources
    """Where the bundle of an invite is looked for."""
    closing: AsyncExitStack

    async def set_scopes(self) -> list[RelayScope]:
        """Tell the engine which inboxes to read at which relays, and return that."""
        own = await self.chat.relays()
        self.paths.guard.own_relays(map(relay_host, own))
        # Our own relays are kept in sight even while there is no inbox yet to read from them.
        inboxes: dict[str, list[InboxKey]] = {relay: [] for relay in own}
        for scope in await self.chat.scopes():
            for relay in scope.relays:
                inboxes.setdefault(relay, []).append(InboxKey(scope.public, scope.secret))
        scopes = [RelayScope(url, tuple(keys)) for url, keys in inboxes.items()]
        self.engine.set_scopes(scopes)
        return scopes

    async def close(self) -> None:
        """Close everything, the vault last; the keys leave memory with it."""
        await self.closing.aclose()


async def open_parts(
    home: Home,
    master: bytes,
    crypto: Crypto,
    now: Callable[[], float],
    settings: NodeSettings,
    conversations: ChatSettings | None = None,
) -> Parts:
    """Open the parts of a home under its master key (32 bytes).

    Raises VaultError (VaultTooNew and VaultDamaged among them), StoreError, BlobError, OSError.
    """
    async with AsyncExitStack() as stack:
        vault = await SqliteVault.open(home.vault, hkdf(master, VAULT_LABEL), MIGRATIONS)
        stack.push_async_callback(vault.close)
        store = await SqliteStore.open(home.store, key=hkdf(master, STORE_LABEL))
        stack.push_async_callback(store.close)
        blobs = await asyncio.to_thread(FileBlobs, home.blobs)
        deliveries = VaultDeliveries(vault, now)
        ways = PathsSettings(tor=TorSettings(ports=settings.tor_ports))
        paths = await NodePaths.open(vault, now, crypto.random, home.root, ways)
        stack.push_async_callback(paths.close)
        fetch = InviteSources(InviteFetcher(paths.many, crypto, now, settings.accept_wait))

        async def open_chat() -> Messenger:
            return await Messenger.open(
                vault, store, blobs, deliveries, crypto, now, fetch, conversations or ChatSettings()
            )

        if home.restored.exists():
            # Done before the conversations are opened for good: they read the new epoch then.
            await (await open_chat()).restored()
            await asyncio.to_thread(home.restored.unlink, True)
        chat = await open_chat()
        # Handshakes are counted where paths are chosen, since one attempt may race several.
        sync = SyncSettings(handshakes=_SESSIONS)
        uploads = hkdf(master, UPLOADS_LABEL)
        engine = Engine(store, blobs, deliveries, paths.many, crypto, now, sync, uploads)
        paths.on_change = engine.replan
        parts = Parts(
            master,
            vault,
            store,
            blobs,
            deliveries,
            chat,
            engine,
            paths,
            fetch,
            stack.pop_all(),
        )
    await parts.set_scopes()
    return parts

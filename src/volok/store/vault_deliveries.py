"""The delivery log in the vault: `delivery`, `mark`, `wanted`, `relay_cursor`, `relay_facts`.

The functions over a transaction are for chat, which queues in the same transaction in which it
changes its own tables; the class is what sync sees.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence

from volok.store.deliveries import (
    Deliveries,
    Delivery,
    ItemKind,
    Mark,
    MarkState,
    RelayFacts,
    WantedBlob,
)
from volok.store.vault import Transaction, Vault

ASK_AGAIN = 86_400
"""Seconds after which a relay that lacked a blob is asked for it once more."""


def queue(tx: Transaction, kind: ItemKind, items: Iterable[str], relays: Iterable[str]) -> None:
    """Record that these items are to go to these relays; what is queued already stays."""
    rows = [(item, kind.value, relay) for item in items for relay in relays]
    tx.many("INSERT OR IGNORE INTO delivery (item, kind, relay) VALUES (?, ?, ?)", rows)


def unqueue(tx: Transaction, items: Iterable[str]) -> None:
    """Forget what waits of these items."""
    tx.many("DELETE FROM delivery WHERE item = ?", [(item,) for item in items])


def want(tx: Transaction, name: str, size: int, relays: Iterable[str]) -> None:
    """Record that this blob is wanted from these relays."""
    tx.many(
        "INSERT OR IGNORE INTO wanted (name, relay, size) VALUES (?, ?, ?)",
        [(name, relay, size) for relay in relays],
    )


def unwant(tx: Transaction, name: str) -> None:
    """Forget that this blob is wanted."""
    tx.execute("DELETE FROM wanted WHERE name = ?", (name,))


def marks(tx: Transaction, after: int, limit: int) -> list[Mark]:
    """Marks with numbers above `after`, in order."""
    rows = tx.execute(
        "SELECT number, item, relay, state, reason FROM mark WHERE number > ? "
        "ORDER BY number LIMIT ?",
        (after, limit),
    )
    return [
        Mark(str(item), str(relay), MarkState(state), str(reason), int(str(number)))
        for number, item, relay, state, reason in rows
    ]


def forget_marks(tx: Transaction, until: int) -> None:
    """Drop marks that chat has seen."""
    tx.execute("DELETE FROM mark WHERE number <= ?", (until,))


def facts(tx: Transaction, relay: str) -> RelayFacts:
    """What is known of a relay."""
    rows = tx.execute(
        "SELECT max_content, blossom, guards_inboxes, keys_per_connection "
        "FROM relay_facts WHERE url = ?",
        (relay,),
    )
    if not rows:
        return RelayFacts(relay)
    max_content, blossom, guards, keys = rows[0]
    return RelayFacts(
        relay,
        None if max_content is None else int(max_content),
        None if blossom is None else bool(blossom),
        None if guards is None else bool(guards),
        None if keys is None else int(keys),
    )


class VaultDeliveries(Deliveries):
    """The delivery log of one node. `now` gives Unix seconds."""

    def __init__(self, vault: Vault, now: Callable[[], float]) -> None:
        self._vault = vault
        self._now = now
        self._queued = asyncio.Event()
        self._marked = asyncio.Event()

    def notify(self) -> None:
        """Tell sync that something was queued or wanted; called after the transaction returned."""
        self._queued.set()

    async def changed(self) -> None:
        await self._queued.wait()
        self._queued.clear()

    async def marked(self) -> None:
        """Return when there are marks since the last call."""
        await self._marked.wait()
        self._marked.clear()

    async def pending(self, relay: str, limit: int, kind: ItemKind | None = None) -> list[Delivery]:
        kinds = [kind.value] if kind else [one.value for one in ItemKind]
        rows = await self._vault.read(
            lambda tx: tx.execute(
                "SELECT number, item, kind FROM delivery WHERE relay = ? AND kind IN (?, ?) "
                "ORDER BY number LIMIT ?",
                (relay, kinds[0], kinds[-1], limit),
            )
        )
        return [Delivery(int(n), str(item), ItemKind(kind), relay) for n, item, kind in rows]

    async def relays(self) -> list[str]:
        rows = await self._vault.read(
            lambda tx: tx.execute("SELECT DISTINCT relay FROM delivery ORDER BY relay")
        )
        return [str(url) for (url,) in rows]

    async def mark(self, marks: Sequence[Mark]) -> None:
        pairs = json.dumps([(mark.item, mark.relay) for mark in marks])

        def work(tx: Transaction) -> None:
            gone = tx.execute(
                "DELETE FROM delivery WHERE (item, relay) IN "
                "(SELECT value ->> 0, value ->> 1 FROM json_each(?)) RETURNING item, relay",
                (pairs,),
            )
            waited = {(str(item), str(relay)) for item, relay in gone}
            rows = [
                (mark.item, mark.relay, mark.state.value, mark.reason)
                for mark in marks
                if (mark.item, mark.relay) in waited
            ]
            tx.many("INSERT INTO mark (item, relay, state, reason) VALUES (?, ?, ?, ?)", rows)

        await self._vault.transact(work)
        self._marked.set()

    async def marks(self, after: int, limit: int) -> list[Mark]:
        return await self._vault.read(lambda tx: marks(tx, after, limit))

    async def wanted(self) -> list[WantedBlob]:
        since = int(self._now()) - ASK_AGAIN
        rows = await self._vault.read(
            lambda tx: tx.execute(
                "SELECT name, size, relay FROM wanted "
                "WHERE missing_at IS NULL OR missing_at < ? ORDER BY name, relay",
                (since,),
            )
        )
        found: dict[tuple[str, int], list[str]] = {}
        for name, size, relay in rows:
            found.setdefault((str(name), int(size)), []).append(str(relay))
        return [WantedBlob(name, size, tuple(urls)) for (name, size), urls in found.items()]

    async def missing(self, name: str, relay: str) -> None:
        now = int(self._now())
        await self._vault.transact(
            lambda tx: tx.execute(
                "UPDATE wanted SET missing_at = ? WHERE name = ? AND relay = ?", (now, name, relay)
            )
        )

    async def arrived(self, name: str) -> None:
        def work(tx: Transaction) -> None:
            unwant(tx, name)
            tx.execute(
                "INSERT INTO mark (item, relay, state, reason) VALUES (?, '', ?, '')",
                (name, MarkState.ARRIVED.value),
            )

        await self._vault.transact(work)
        self._marked.set()

    async def cursor(self, relay: str, inbox: str) -> int:
        rows = await self._vault.read(
            lambda tx: tx.execute(
                "SELECT until FROM relay_cursor WHERE relay = ? AND inbox = ?", (relay, inbox)
            )
        )
        return int(rows[0][0]) if rows else 0

    async def set_cursor(self, relay: str, inbox: str, until: int) -> None:
        await self._vault.transact(
            lambda tx: tx.execute(
                "INSERT INTO relay_cursor VALUES (?, ?, ?) ON CONFLICT (relay, inbox) "
                "DO UPDATE SET until = max(until, excluded.until)",
                (relay, inbox, until),
            )
        )

    async def facts(self, relay: str) -> RelayFacts:
        return await self._vault.read(lambda tx: facts(tx, relay))

    async def set_facts(self, facts: RelayFacts) -> None:
        values = (facts.max_content, facts.blossom, facts.guards_inboxes, facts.keys_per_connection)
        await self._vault.transact(
            lambda tx: tx.execute(
                "INSERT INTO relay_facts VALUES (?, ?, ?, ?, ?) ON CONFLICT (url) DO UPDATE SET "
                "max_content = coalesce(excluded.max_content, max_content), "
                "blossom = coalesce(excluded.blossom, blossom), "
                "guards_inboxes = coalesce(excluded.guards_inboxes, guards_inboxes), "
                "keys_per_connection = coalesce(excluded.keys_per_connection, keys_per_connection)",
                (facts.url, *(None if v is None else int(v) for v in values)),
            )
        )

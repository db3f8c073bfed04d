"""The background work: send, receive, follow marks, and do what the clock asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from volok.chat import chores, hint_telling, hint_using, marks
from volok.chat.hooks import Hands
from volok.chat.kit import Kit
from volok.chat.receive import take_in
from volok.chat.records import set_setting, setting
from volok.chat.sending import outbox_waits, send_waiting
from volok.model.envelope import KIND_ENVELOPE, InvalidEnvelope, Part, open_envelope
from volok.store.store import Entry
from volok.store.vault import Transaction
from volok.store.vault_deliveries import forget_marks
from volok.store.vault_deliveries import marks as read_marks

IDLE = 30.0
"""Seconds between looks at what has no time of its own (gaps, keys, reseals)."""

BREATH = 0.1
"""Seconds between two rounds of chores while much happens."""


MARKS = 1000
"""Marks taken in one transaction."""


class Worker:
    """Runs until cancelled. All it has done is in the vault; it may be killed at any time."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self.dropped = 0
        """Envelopes addressed to us that none of our keys opens."""

    async def run(self) -> None:
        """Do everything at once, until cancelled or one part fails."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send())
            group.create_task(self._receive())
            group.create_task(self._follow_marks())
            group.create_task(self._keep_time())

    async def settle(self) -> None:
        """Do once, in order, everything that can be done now; for a node that does not stay up."""
        await self.catch_up()
        await self._take_marks()
        await self._kit.change(
            lambda hands: hands.tx.execute(
                "UPDATE contact SET ack_due_ms = ? WHERE ack_due_ms IS NOT NULL", (hands.now_ms,)
            )
        )
        await self._kit.change(self._chores)
        await chores.ask_to_delete(self._kit)
        await send_waiting(self._kit)

    async def _send(self) -> None:
        while True:
            wait = self._kit.outgoing.waiter()
            await send_waiting(self._kit)
            await wait()

    async def _receive(self) -> None:
        cursor = await self._cursor()
        async for entries in self._kit.store.follow(cursor):
            for at in range(0, len(entries), self._kit.settings.batch):
                await self._take_entries(entries[at : at + self._kit.settings.batch])

    async def catch_up(self) -> None:
        """Take in everything that is in the store's log by now."""
        while True:
            cursor = await self._cursor()
            entries = await self._kit.store.log(
                cursor, self._kit.settings.batch, int(self._kit.now())
            )
            if not entries:
                return
            await self._take_entries(entries)

    async def _cursor(self) -> int:
        cursor = int(await self._kit.vault.read(lambda tx: setting(tx, "log_cursor", 0)) or 0)
        # A store that was lost and made anew counts from the beginning; so do we.
        return cursor if cursor <= self._kit.store.head else 0

    async def _take_entries(self, entries: Sequence[Entry]) -> None:
        kit = self._kit
        addressed = [
            (inbox, entry)
            for entry in entries
            if entry.event.kind == KIND_ENVELOPE and (inbox := entry.event.tag("p"))
        ]
        opened: list[tuple[Part, str, str]] = []
        junk: list[str] = []
        if addressed:
            secrets = await kit.vault.read(_sealing_secrets)
            for inbox, entry in addressed:
                if inbox not in secrets:
                    continue
                try:
                    part = await open_envelope(kit.keys.crypto, entry.event, inbox, secrets[inbox])
                except InvalidEnvelope:
                    self.dropped += 1
                    junk.append(entry.event.id)
                    continue
                opened.append((part, inbox, entry.event.id))
                await asyncio.sleep(0)  # a batch takes long: the sockets go first

        def work(hands: Hands) -> bool:
            take_in(hands, opened)
            set_setting(hands.tx, "log_cursor", entries[-1].number)
            # Anybody who knows an inbox can write to it, and must not be able to fill the disk.
            hands.effects.done_events += junk
            return outbox_waits(hands.tx)

        waits = await kit.change_quietly(work)
        if opened:
            kit.changed.fire()
        if waits:
            kit.outgoing.fire()

    async def _follow_marks(self) -> None:
        while True:
            while await self._take_marks() == MARKS:
                pass
            await self._kit.deliveries.marked()

    async def _take_marks(self) -> int:
        kit = self._kit

        def work(hands: Hands) -> tuple[int, list[str], bool]:
            new = read_marks(hands.tx, 0, MARKS)
            framed = marks.apply_marks(hands, new)
            if new:
                forget_marks(hands.tx, new[-1].number)
            return len(new), framed, outbox_waits(hands.tx)

        count, framed, waits = await kit.change_quietly(work)
        if count:
            kit.changed.fire()
        if waits:
            kit.outgoing.fire()
        for name, data in await marks.frame_blobs(kit.blobs, framed):
            await kit.change(partial(marks.put_pieces, name=name, data=data))
        return count

    async def _keep_time(self) -> None:
        kit = self._kit
        while True:
            due = await kit.change_quietly(self._chores)
            if due[1]:
                kit.changed.fire()
            kit.outgoing.fire()
            wait = kit.changed.waiter()
            await chores.ask_to_delete(kit)
            pause = IDLE if due[0] is None else max(0.0, due[0] / 1000 - kit.now())
            try:
                async with asyncio.timeout(min(pause, IDLE) + 0.005):
                    await wait()
            except TimeoutError:
                continue
            await asyncio.sleep(BREATH)

    @staticmethod
    def _chores(hands: Hands) -> tuple[int | None, bool]:
        """Everything that is due; returns when the next is and whether a page shows a change."""
        before = hands.tx.execute("SELECT coalesce(max(cursor), 0) FROM journal")
        sent = chores.send_receipts(hands)
        chores.ask_for_missing(hands)
        chores.expire_messages(hands)
        chores.reseal(hands)
        chores.rotate_keys(hands)
        hint_telling.tell(hands)
        hint_using.prune(hands)
        looks = (chores.next_receipt, chores.next_expiry, chores.next_deletion)
        times = [time for time in (look(hands) for look in looks) if time is not None]
        after = hands.tx.execute("SELECT coalesce(max(cursor), 0) FROM journal")
        return min(times, default=None), sent or before != after


def _sealing_secrets(tx: Transaction) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for inbox, secret in tx.execute(
        "SELECT inbox, secret FROM sealing ORDER BY created_at DESC, rowid DESC"
    ):
        found.setdefault(inbox, []).append(secret)
    return found

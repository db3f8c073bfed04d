"""From the outbox to the store: encrypt, seal, and queue for the relays of whoever shall get it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from volok.chat.contacts import contact_relays
from volok.chat.hooks import Hands, drop_sealed
from volok.chat.kit import Kit
from volok.chat.ratchet import encrypt_waiting
from volok.model.crypto import CryptoError
from volok.model.envelope import DAY, USUAL_BUCKET, largest_bucket, seal_envelope, split
from volok.model.event import Event
from volok.store.deliveries import ItemKind
from volok.store.vault import Transaction
from volok.store.vault_deliveries import facts, queue


@dataclass(frozen=True, slots=True)
class Ready:
    """One framed row of the outbox with everything needed to seal it."""

    number: int
    contact: str
    identity: bytes
    session: bytes
    sequence: int
    frame: bytes
    inbox: str
    sealing: bytes
    bucket: int


def bucket_for(tx: Transaction, contact: str, cap: int | None) -> int:
    """The largest usual bucket that every relay of a contact takes."""
    buckets = [largest_bucket(facts(tx, url).max_content) for url in contact_relays(tx, contact)]
    return min([*buckets, cap or USUAL_BUCKET])


def ready_rows(tx: Transaction, where: str, parameters: tuple[str | int, ...]) -> list[Ready]:
    """Framed rows of the outbox in their order; `where` is a condition over `o`."""
    rows = tx.execute(
        "SELECT o.number, o.contact, o.ours, o.session, o.sequence, o.frame, c.their_inbox, "  # noqa: S608
        "c.their_sealing, c.bucket FROM outbox o JOIN contact c ON c.id = o.contact "
        f"WHERE o.session IS NOT NULL AND {where}",
        parameters,
    )
    buckets: dict[str, int] = {}
    for row in rows:
        if row[1] not in buckets:
            buckets[row[1]] = bucket_for(tx, row[1], row[8])
    return [
        Ready(number, contact, ours, session, sequence, frame, inbox, sealing, buckets[contact])
        for number, contact, ours, session, sequence, frame, inbox, sealing, _ in rows
    ]


async def seal(kit: Kit, row: Ready) -> list[Event]:
    """Seal one frame into envelopes. Raises CryptoError for a contact whose key is no key."""
    parts = split(row.identity, row.session, row.sequence, row.frame, row.bucket)
    now, days = kit.now(), kit.settings.envelope_days
    return [
        await seal_envelope(kit.keys.crypto, row.inbox, row.sealing, part, now, days)
        for part in parts
    ]


def outbox_waits(tx: Transaction) -> bool:
    """Whether anything may wait to be encrypted or sealed; cheaper than to try."""
    rows = tx.execute(
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE session IS NULL) "
        "OR EXISTS (SELECT 1 FROM outbox WHERE sealed = 0 AND session IS NOT NULL)"
    )
    return bool(rows[0][0])


async def send_waiting(kit: Kit) -> None:
    """Encrypt and seal everything that waits, batch by batch, and queue it for relays."""
    sealed: list[tuple[Ready, list[Event]]] = []
    while True:
        # One commit for two steps: what was sealed is recorded, the next batch is encrypted.
        count, rows = await kit.change_quietly(partial(_turn, sealed=sealed))
        if not rows and not count:
            return
        sealed = await _seal_batch(kit, rows)
        events = [event for _, made in sealed for event in made]
        if events:
            await kit.store.add(events, int(kit.now()))


async def _seal_batch(kit: Kit, rows: Sequence[Ready]) -> list[tuple[Ready, list[Event]]]:
    sealed: list[tuple[Ready, list[Event]]] = []
    for done, row in enumerate(rows):
        try:
            sealed.append((row, await seal(kit, row)))
        except CryptoError:
            sealed.append((row, []))
        if done % 8 == 7:  # a batch takes long: whoever reads and writes sockets goes first
            await asyncio.sleep(0)
    return sealed


def _turn(hands: Hands, sealed: list[tuple[Ready, list[Event]]]) -> tuple[int, list[Ready]]:
    tx, most = hands.tx, hands.settings.send_batch
    if sealed:
        contacts = {row.contact for row, _ in sealed}
        _record(hands, sealed, {contact: contact_relays(tx, contact) for contact in contacts})
        hands.effects.queued = True
    count = encrypt_waiting(tx, hands.keys, hands.settings, most)
    condition = (
        "o.sealed = 0 AND EXISTS (SELECT 1 FROM contact_relay r WHERE r.contact = o.contact) "
        "ORDER BY o.number LIMIT ?"
    )
    return count, ready_rows(tx, condition, (most,))


def _record(
    hands: Hands, sealed: list[tuple[Ready, list[Event]]], relays: dict[str, list[str]]
) -> None:
    tx = hands.tx
    # A receipt may have come while we sealed: then the row is gone and nothing needs to go out.
    first, last = sealed[0][0].number, sealed[-1][0].number
    present = tx.execute(
        "SELECT number, session FROM outbox WHERE number BETWEEN ? AND ? AND session IS NOT NULL",
        (first, last),
    )
    sessions: dict[int, bytes] = dict(present)
    done, rows, parts = [], [], []
    for row, events in sealed:
        if sessions.get(row.number) != row.session:
            hands.effects.done_events += [event.id for event in events]
            continue
        expires_at = min((e.created_at for e in events), default=0)
        expires_at += hands.settings.envelope_days * DAY
        refused = None if events else "key"
        rows.append((expires_at, row.bucket, refused, row.number))
        parts += [(event.id, row.number, part) for part, event in enumerate(events)]
        done.append((row, events))
    again = tx.execute(
        "SELECT DISTINCT outbox FROM sealed WHERE outbox BETWEEN ? AND ?", (first, last)
    )
    renewed = {row.number for row, _ in done} & {number for (number,) in again}
    hands.effects.done_events += drop_sealed(tx, sorted(renewed))
    tx.many(
        "UPDATE outbox SET sealed = 1, expires_at = ?, bucket = ?, refused = ? WHERE number = ?",
        rows,
    )
    tx.many("INSERT INTO sealed (event, outbox, part) VALUES (?, ?, ?)", parts)
    for contact, urls in relays.items():
        events_of = [event.id for row, events in done if row.contact == contact for event in events]
        queue(tx, ItemKind.EVENT, events_of, urls)

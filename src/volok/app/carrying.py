"""Bundles of a node: what waits is written for its receivers, what was carried here is taken in."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from volok.app.errors import AppError
from volok.app.web import interface
from volok.app.web.interface import ExportReport, ImportReport
from volok.app.wiring import Parts
from volok.chat.people import Parcel
from volok.model.crypto import Crypto, CryptoError
from volok.model.event import Event, InvalidEvent, parse_event, verify_event
from volok.store.blobs import BlobMismatch
from volok.store.store import Outcome
from volok.sync.bundle import InboxKey, OpenedPart, Part, read_bundle, write_bundle
from volok.sync.drops import bare

_BATCH = 200
"""Events that are checked and stored together."""


class NothingWaits(AppError, interface.NothingWaits):
    """Nothing waits to be carried, so no file was written."""


@dataclass(frozen=True, slots=True)
class Exported(ExportReport):
    """What went into a bundle."""

    contacts: int
    """Sealed parts."""
    events: int
    blobs: int


async def export_bundle(
    parts: Parts, path: Path, contact_id: str | None, crypto: Crypto
) -> Exported:
    """Write what waits for one contact, or one sealed part for each, to a new file.

    It appears under its name only when whole, with mode 0600. Raises NothingWaits, ChatError,
    BundleTooLarge, FileExistsError, OSError.
    """
    if await asyncio.to_thread(path.exists):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    await parts.chat.settle()
    parcels = [parcel async for parcel in parts.chat.export_parts(contact_id)]
    if not parcels:
        raise NothingWaits
    sealed = [await bundle_part(parts, parcel) for parcel in parcels]
    unfinished = path.with_name(path.name + ".part")
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(unfinished, flags, 0o600), "w+b") as file:
            await write_bundle(file, sealed, crypto)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    waiting = [await parts.chat.contact(parcel.contact) for parcel in parcels]
    return Exported(
        messages=sum(contact.waiting for contact in waiting),
        contacts=len(parcels),
        events=sum(len(parcel.events) for parcel in parcels),
        blobs=sum(len(list(part.blobs)) for part in sealed),
    )


async def bundle_part(parts: Parts, parcel: Parcel) -> Part:
    """The part of a bundle for one contact, with those of its blobs that are here."""
    here = [name for name in dict.fromkeys(parcel.blobs) if await parts.blobs.has(name)]
    return Part(
        inbox=bytes.fromhex(parcel.inbox),
        sealing_key=parcel.sealing,
        events=parcel.events,
        blobs=[(name, parts.blobs.read(name)) for name in here],
    )


async def sealed_part(
    parts: Parts, contact: str, numbers: Sequence[int], blobs: Sequence[str], crypto: Crypto
) -> bytes | None:
    """What lies in a drop, or goes to a neighbour: the part of a bundle for one contact with these
    contents and blobs, without its framing. None when there is nothing to give, or when the contact
    has no key that one can seal to."""
    try:
        parcel = await parts.chat.parcel_of(contact, numbers, blobs)
        part = await bundle_part(parts, parcel) if parcel else None
        if part is None or not (part.events or part.blobs):
            return None
        bundle = io.BytesIO()
        await write_bundle(bundle, [part], crypto)
    except CryptoError:
        return None
    return bare(bundle.getvalue())


async def import_bundle(parts: Parts, path: Path, crypto: Crypto, now: int) -> ImportReport:
    """Take in what a bundle holds for us. `now` is in Unix seconds.

    What comes before a damaged place is kept. Raises BundleError, StoreError, BlobError, OSError.
    """
    keys = await bundle_keys(parts)
    with path.open("rb") as file:
        return await take_in(parts, file, keys, crypto, now)


async def bundle_keys(parts: Parts) -> list[InboxKey]:
    """Every key of ours that a part of a bundle may be sealed to."""
    return [
        InboxKey(bytes.fromhex(inbox), secret) for inbox, secret in await parts.chat.opening_keys()
    ]


async def take_in(
    parts: Parts, file: BinaryIO, keys: Sequence[InboxKey], crypto: Crypto, now: int
) -> ImportReport:
    """`import_bundle` for an open file."""
    opened = await read_bundle(file, keys, crypto)
    events = sum([await _take_events(parts, part, crypto, now) for part in opened])
    # The messages name their files: only after them is it known which blobs are wanted.
    await parts.chat.settle()
    blobs = sum([await _take_blobs(parts, part) for part in opened])
    await parts.chat.settle()
    return ImportReport(events=events, blobs=blobs)


async def _take_events(parts: Parts, part: OpenedPart, crypto: Crypto, now: int) -> int:
    fresh, batch = 0, list[Event]()
    for line in part.events():
        with suppress(InvalidEvent, ValueError, RecursionError):
            batch.append(parse_event(json.loads(line)))
        if len(batch) == _BATCH:
            fresh += await _store(parts, batch, crypto, now)
            batch = []
    return fresh + await _store(parts, batch, crypto, now)


async def _store(parts: Parts, events: list[Event], crypto: Crypto, now: int) -> int:
    sound = await asyncio.to_thread(
        lambda: [event for event in events if verify_event(event, crypto)]
    )
    return (await parts.store.add(sound, now)).count(Outcome.ADDED)


async def _take_blobs(parts: Parts, part: OpenedPart) -> int:
    taken = 0
    for name, _ in part.blobs:
        if await parts.blobs.has(name):
            await parts.chat.take_blob(name)
            continue
        with suppress(BlobMismatch):
            await parts.blobs.put(part.blob(name), expected=name)
            taken += 1
            await parts.chat.take_blob(name)
    return taken

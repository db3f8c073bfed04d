"""What to leave in a drop, what to take away again and what to try: decided without any I/O.

A file in a drop is one sealed part of a bundle (see `volok.sync.bundle`) without its framing: an
encapsulated key and a stream, which nothing tells from random bytes. Rules:

1. What waits for a contact's receipt is covered by a file of ours that lies in the drop. What is
   not covered gets a new file; what was covered is not written again.
2. A file goes when the receipts for all that it covers have come, or when it is old: then what
   still waits is sealed anew. One that brought blobs stays a while after its receipts.
3. Many small files for one contact become one. What was taken away where it could not be seen is
   remembered all the same, as by rule 5.
4. Files of ours take no more space than the quota: the oldest go first, and what they covered is
   written again only when much of the quota is free.
5. A file that somebody else removed counts as gone, but is remembered: a stick may come back. One
   that was sent to somebody (mail) lies with them until it comes back; then it waits a while.
6. A file of others is tried once under its name and size.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from volok.sync.bundle import PART_FRAMING, SEALED_KEY_BYTES, frame_part

OVERHEAD = 3_000
"""Bytes that an envelope takes beside its frame, about."""


@dataclass(frozen=True, slots=True)
class DropSettings:
    """How drops are used. Times are in seconds, sizes in bytes."""

    head_start: float = 5.0
    """What may go by a relay is left in a drop only when no receipt came in this time."""
    renew_after: float = 2 * 86_400.0
    """Age at which a file is taken away, and what still waits is sealed anew. Below the age at
    which receivers delete old sealing keys."""
    linger: float = 3_600.0
    """How long a file that brought blobs stays after its receipts came."""
    settle: float = 60.0
    """How long a file may be missing from listings after it was written."""
    quota: int = 256 << 20
    """What our own files may take in one drop."""
    file_bytes: int = 8 << 20
    """Where a file is closed and the next one begun."""
    files_for_one: int = 8
    """Small files for one contact before they become one."""
    largest: int = 32 << 20
    """A larger file of others is not looked at."""
    tries: int = 500
    """Files of others that are tried in one pass."""
    remembered: int = 20_000
    """Files of others that are remembered as tried, and files of ours."""
    active_share: float = 0.25
    """After something happened, the next look comes in this share of the time since then."""
    fastest: float = 0.5
    """The shortest time between two looks."""
    again_after: float = 6 * 3_600.0
    """What came back undelivered is sent again after this time."""


@dataclass(frozen=True, slots=True)
class Item:
    """One content that waits for a contact's receipt."""

    contact: str
    key: str
    """Names it as it is encrypted now; another one when it was encrypted anew."""
    number: int
    """Orders the items, and names it to whoever seals it."""
    size: int
    """Bytes of its frame."""
    since: float
    """Since when it waits, in Unix seconds."""
    by_relay: bool
    """Whether it may go by a relay that is connected, or by something else that comes first."""
    blobs: tuple[tuple[str, int], ...] = ()
    """Names and sizes of what belongs to it."""


@dataclass(frozen=True, slots=True)
class Own:
    """A file of ours, as remembered."""

    name: str
    contact: str
    keys: tuple[str, ...]
    """Of the items that it covers."""
    size: int
    at: float
    """When it was written, in Unix seconds."""
    blobs: bool = False
    state: str = "here"
    """`writing` until it lies there, then `here`; `missing`, `damaged` (shorter than it was
    written), or `evicted` to make room; of what was sent to somebody, `returned` when it came
    back, at the time `at`."""


@dataclass(frozen=True, slots=True)
class Put:
    """A file to be made."""

    contact: str
    items: tuple[Item, ...]
    """What it covers."""
    numbers: tuple[int, ...]
    """The items that are sealed into it."""
    blobs: tuple[str, ...]
    replaces: tuple[str, ...] = ()
    """Files of ours that go once it lies there."""

    @property
    def size(self) -> int:
        """About how large it becomes."""
        events = sum(OVERHEAD + item.size * 3 // 2 for item in self.items if self.numbers)
        sizes = dict(pair for item in self.items for pair in item.blobs)
        return (events + sum(sizes[name] for name in self.blobs)) * 9 // 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with our own files in one drop."""

    own: tuple[Own, ...]
    """What to remember now, those to be deleted among them."""
    deletions: tuple[str, ...]
    """Files to be deleted first."""
    puts: tuple[Put, ...]
    """Files to be made then."""


def plan(
    own: Sequence[Own],
    listed: Mapping[str, int],
    items: Sequence[Item],
    now: float,
    settings: DropSettings,
) -> Plan:
    """Decide by what is remembered, what the drop holds (names and sizes) and what waits."""
    waiting = {item.key for item in items}
    kept = [_found(each, listed, now, settings) for each in own]
    finished = {each.name for each in kept if _is_done(each, waiting, now, settings)}
    remaining = [each for each in kept if each.name not in finished]
    puts = _packed(remaining, items, now, settings)
    replaced = {name for put in puts for name in put.replaces}
    evicted = _evicted(remaining, puts, replaced, settings)
    remembered = [
        replace(each, state="evicted") if each.name in evicted else each
        for each in kept
        # What is done and gone needs no memory, unless it was gone before: a stick may come back.
        if not (each.name in finished and each.state in ("evicted", "returned"))
    ]
    deletions = [
        each.name
        for each in kept
        if (each.name in listed and each.name in finished | evicted) or each.state == "writing"
    ]
    room = settings.quota - sum(
        each.size for each in remaining if each.state == "here" and each.name not in evicted
    )
    return Plan(tuple(remembered), tuple(deletions), tuple(_fitting(puts, room, settings)))


def _found(each: Own, listed: Mapping[str, int], now: float, settings: DropSettings) -> Own:
    if each.name in listed:
        cut = listed[each.name] < each.size and now - each.at >= settings.settle
        return replace(each, state="damaged" if cut else "here")
    if each.state == "here" and now - each.at >= settings.settle:
        return replace(each, state="missing")
    return each


def _is_done(each: Own, waiting: set[str], now: float, settings: DropSettings) -> bool:
    age = now - each.at
    if each.state in ("writing", "damaged"):  # what wrote it was interrupted
        return True
    if each.state == "returned" and age >= settings.again_after:
        return True
    if age >= settings.renew_after or age < -settings.renew_after:  # the clock was set
        return True
    if waiting.isdisjoint(each.keys):
        return not each.blobs or age >= settings.linger
    return False


def _packed(
    own: Sequence[Own], items: Sequence[Item], now: float, settings: DropSettings
) -> list[Put]:
    here = [each for each in own if each.state == "here"]
    tight = sum(each.size for each in here) > settings.quota // 2
    covered = {
        key
        for each in own
        if each.state in ("here", "returned") or (each.state == "evicted" and tight)
        for key in each.keys
    }
    waits: dict[str, list[Item]] = defaultdict(list)
    fresh = set()
    for item in sorted(items, key=lambda item: item.number):
        waits[item.contact].append(item)
        if item.key not in covered and not _first_by_relay(item, now, settings):
            fresh.add(item.contact)
    puts = []
    for contact in sorted(fresh):
        small = [
            each
            for each in here
            if each.contact == contact and not each.blobs and each.size < settings.file_bytes // 2
        ]
        merges = len(small) >= settings.files_for_one
        merged = {key for each in small for key in each.keys} if merges else set()
        due = [
            item
            for item in waits[contact]
            if item.key in merged
            or (item.key not in covered and not _first_by_relay(item, now, settings))
        ]
        packed = _files(contact, due, settings)
        if merges and packed:
            packed[-1] = replace(packed[-1], replaces=tuple(each.name for each in small))
        puts += packed
    return puts


def _first_by_relay(item: Item, now: float, settings: DropSettings) -> bool:
    return item.by_relay and 0 <= now - item.since < settings.head_start


def _files(contact: str, items: Sequence[Item], settings: DropSettings) -> list[Put]:
    """Pack items into files. Blobs come before the message that names them, so that they lie there
    when its receipt is given."""
    puts: list[Put] = []
    plain: list[Item] = []
    for item in items:
        if item.blobs:
            puts += _blob_files(contact, item, settings)
        plain.append(item)
        if sum(OVERHEAD + each.size * 3 // 2 for each in plain) >= settings.file_bytes:
            puts.append(_put(contact, plain))
            plain = []
    if plain:
        puts.append(_put(contact, plain))
    return puts


def _put(contact: str, items: Sequence[Item]) -> Put:
    return Put(contact, tuple(items), tuple(item.number for item in items), ())


def _blob_files(contact: str, item: Item, settings: DropSettings) -> Iterable[Put]:
    names: list[str] = []
    total = 0
    for name, size in item.blobs:
        if names and total + size > settings.file_bytes:
            yield Put(contact, (item,), (), tuple(names))
            names, total = [], 0
        names.append(name)
        total += size
    yield Put(contact, (item,), (), tuple(names))


def _evicted(
    own: Sequence[Own], puts: Sequence[Put], replaced: set[str], settings: DropSettings
) -> set[str]:
    here = sorted((each for each in own if each.state == "here"), key=lambda each: each.at)
    used = sum(each.size for each in here)
    wanted = sum(put.size for put in puts)
    gone: set[str] = set()
    for each in here:
        if used + min(wanted, settings.quota) <= settings.quota:
            break
        used -= each.size
        if each.name not in replaced:
            gone.add(each.name)
    return gone


def _fitting(puts: Sequence[Put], room: int, settings: DropSettings) -> Iterable[Put]:
    """What there is room for. The rest waits for the next pass."""
    for put in puts:
        if put.size <= room or (put.size > settings.quota and room == settings.quota):
            room -= put.size
            yield put


def due_in(
    own: Sequence[Own], items: Iterable[Item], now: float, settings: DropSettings
) -> float | None:
    """Seconds until something that waits is due to be left in the drop; None when all is."""
    lie = ("here", "evicted", "returned")
    covered = {key for each in own if each.state in lie for key in each.keys}
    times = [
        item.since + settings.head_start - now if _first_by_relay(item, now, settings) else 0.0
        for item in items
        if item.key not in covered
    ]
    return min(times, default=None)


def to_try(
    listed: Mapping[str, int],
    own: Iterable[Own],
    tried: Iterable[bytes],
    settings: DropSettings,
) -> list[str]:
    """Names of the files that are to be tried."""
    known = {each.name for each in own}
    before = set(tried)
    return [
        name
        for name, size in listed.items()
        if name not in known
        and SEALED_KEY_BYTES < size <= settings.largest
        and mark(name, size) not in before
    ]


def mark(name: str, size: int) -> bytes:
    """What is remembered of a file that was tried: 12 bytes."""
    return hashlib.sha256(f"{name} {size}".encode()).digest()[:12]


def still_known(
    tried: Sequence[bytes], listed: Mapping[str, int], settings: DropSettings
) -> list[bytes]:
    """Of the marks, those of files that lie there still, the latest ones."""
    there = {mark(name, size) for name, size in listed.items()}
    return [each for each in tried if each in there][-settings.remembered :]


def next_look(period: float, since: float, settings: DropSettings) -> float:
    """Seconds until the next look, when the latest thing happened `since` seconds ago."""
    soon = max(settings.fastest, since * settings.active_share)
    return min(period, soon) if since >= 0 else period


def bare(bundle: bytes) -> bytes:
    """A bundle of one part without its framing."""
    return bundle[PART_FRAMING:]


def dressed(data: bytes) -> bytes:
    """The inverse of `bare`."""
    return frame_part(data)


def dump_own(own: Sequence[Own], settings: DropSettings) -> str:
    """What is remembered of our files, as text; the oldest are forgotten."""
    latest = sorted(own, key=lambda each: each.at)[-settings.remembered :]
    return json.dumps([asdict(each) for each in latest], separators=(",", ":"))


def load_own(text: str) -> list[Own]:
    """The inverse of `dump_own`; what is damaged counts as forgotten."""
    try:
        return [Own(**{**each, "keys": tuple(each["keys"])}) for each in json.loads(text)]
    except (ValueError, TypeError, KeyError):
        return []

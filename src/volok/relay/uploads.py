"""Which key brought which blob, and when: what may be deleted by whom, and what has grown old.

1. The file holds records of fixed size, overwritten in place when forgotten. A torn last record
   after a crash is ignored and overwritten.
2. A key is kept as a hash together with the blob's, so that two uploads by one key cannot be
   linked by somebody who reads the disk.
3. With a seal, each record is sealed on its own; a file is sealed from its beginning or not at all.
4. A record is written before its blob: after a crash there may be a record without a blob, which
   does no harm, but no blob that is never swept.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from volok.store.blobs import BlobError
from volok.store.file_seal import NONCE, TAG, FileSeal

MAX_OWNERS = 16
"""The most keys that are remembered for one blob."""

_RECORD = struct.Struct(">32s16sQ")
_PURPOSE = b"uploads"


@dataclass(slots=True)
class _Record:
    slot: int
    time: int


class Uploads:
    """The records of one relay, in memory and in a file."""

    def __init__(self, path: Path | None, seal: FileSeal | None = None) -> None:
        """Open or create the file; None keeps everything in memory. Raises OSError, and BlobError
        when there are records under another seal."""
        self._seal = seal
        self._size = _RECORD.size + (NONCE + TAG if seal else 0)
        self._records: dict[str, dict[bytes, _Record]] = {}
        self._free: list[int] = []
        self._slots = 0
        self._lock = asyncio.Lock()
        self._file: int | None = None
        if path is not None:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._load(path.read_bytes())

    async def record(self, name: str, pubkey: str, now: int) -> None:
        """Note that this key brings this blob (both hexadecimal); durable on return."""
        async with self._lock:
            owners = self._records.setdefault(name, {})
            owner = _owner(name, pubkey)
            if owner not in owners and len(owners) >= MAX_OWNERS:
                # No owner more, but what somebody brings again stays longer.
                owner = next(iter(owners))
            record = owners.get(owner) or _Record(self._new_slot(), now)
            record.time = now
            owners[owner] = record
            await self._write(record.slot, _RECORD.pack(bytes.fromhex(name), owner, now))

    async def disown(self, name: str, pubkey: str) -> bool:
        """Forget that this key brought this blob; returns whether nobody is left who did.

        Raises KeyError when this key did not bring it.
        """
        async with self._lock:
            owners = self._records[name]
            record = owners.pop(_owner(name, pubkey))
            # Before anything is awaited: a name without owners would look old to a sweep.
            if not owners:
                del self._records[name]
            await self._drop(record)
            return not owners

    async def forget(self, name: str, before: int | None = None) -> None:
        """Forget a blob altogether, or only that it was brought before this time."""
        async with self._lock:
            owners = self._records.pop(name, {})
            newer = {
                owner: record
                for owner, record in owners.items()
                if before is not None and record.time >= before
            }
            if newer:
                self._records[name] = newer
            for owner, record in owners.items():
                if owner not in newer:
                    await self._drop(record)

    def time(self, name: str) -> int | None:
        """When the blob was brought last, in Unix seconds; None when it was not brought here."""
        owners = self._records.get(name)
        return max(record.time for record in owners.values()) if owners else None

    def older_than(self, time: int) -> list[str]:
        """The blobs that were brought last before this time."""
        return [name for name in self._records if (self.time(name) or 0) < time]

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _load(self, data: bytes) -> None:
        unread = 0
        for slot in range(len(data) // self._size):
            self._slots = slot + 1
            record = data[slot * self._size : (slot + 1) * self._size]
            if record == bytes(self._size):
                self._free.append(slot)
                continue
            try:
                plain = self._seal.open_record(record, _PURPOSE) if self._seal else record
            except BlobError:  # torn by a crash; more than one is another seal
                unread += 1
                self._free.append(slot)
                continue
            raw, owner, time = _RECORD.unpack(plain)
            self._records.setdefault(raw.hex(), {})[owner] = _Record(slot, time)
        if unread > 1:
            raise BlobError

    def _new_slot(self) -> int:
        if self._free:
            return self._free.pop()
        self._slots += 1
        return self._slots - 1

    async def _drop(self, record: _Record) -> None:
        await self._write(record.slot, None)
        self._free.append(record.slot)

    async def _write(self, slot: int, plain: bytes | None) -> None:
        """Fill a slot; None empties it."""
        if plain is None:
            data = bytes(self._size)
        else:
            data = self._seal.seal_record(plain, _PURPOSE) if self._seal else plain
        if self._file is not None:
            await asyncio.to_thread(_write, self._file, slot * self._size, data)


def _write(file: int, offset: int, data: bytes) -> None:
    os.pwrite(file, data, offset)
    os.fsync(file)


def _owner(name: str, pubkey: str) -> bytes:
    return hashlib.sha256(f"{name}:{pubkey}".encode()).digest()[:16]

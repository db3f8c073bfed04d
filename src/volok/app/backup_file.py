"""Backups: one encrypted file that holds the vault and the blobs.

    "volok-backup" (12 bytes) | version 1 (1 byte)
    what opens it: 1 the passphrase of the vault, 2 a recovery code (1 byte)
    length of the key slot (2 bytes) | key slot (see `volok.store.keyslot`)
    salt (32 bytes)
    stream (see `volok.model.stream`) of a zip, to the end of the file

Numbers are big-endian. The stream's key is hkdf(master key, "volok backup v1" | salt), and its
chunks authenticate the SHA-256 of all that stands before them. The zip is stored, not compressed:
`manifest.json`, `vault.db` (a snapshot, still encrypted under its own key) and `blobs/<sha256>`.

A recovery code is 160 random bits in base32 (RFC 4648), eight groups of four: ABCD-EFGH-...
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from volok.app.errors import AlreadySetUp, AppError
from volok.app.home import Home
from volok.model.crypto import Crypto, hkdf
from volok.model.event import is_hex32
from volok.model.stream import CHUNK_BYTES, StreamKey, StreamReader, StreamWriter
from volok.store.blobs import BlobMismatch, BlobMissing, Blobs
from volok.store.file_blobs import FileBlobs
from volok.store.keyslot import (
    MAX_SLOT_BYTES,
    VAULT_LABEL,
    KdfCost,
    KeySlot,
    Protection,
    protection,
    unwrap,
    wrap,
)
from volok.store.secure_files import PRIVATE, sync_directory
from volok.store.vault import VaultDamaged, VaultTooNew, WrongPassphrase
from volok.store.vault_connection import connect
from volok.store.vault_sqlite import SqliteVault
from volok.sync.bundle import ZIP_ERRORS

MAGIC = b"volok-backup"
VERSION = 1
_BY_PASSPHRASE, _BY_CODE = 1, 2
_HEAD = struct.Struct(">12sBBH")
_SALT_BYTES = 32
_LABEL = b"volok backup v1"
_MANIFEST, _VAULT, _BLOBS = "manifest.json", "vault.db", "blobs/"
_MAX_MANIFEST = 65_536


class InvalidBackup(AppError):
    """This file is no backup, or it was damaged or cut. Nothing was restored; try another copy."""


class BackupTooNew(AppError):
    """This backup was made by a newer version of Volok. Update Volok and restore it then."""


class WrongRecoveryCode(WrongPassphrase):
    """This recovery code does not open the backup. Compare it with what you wrote down."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    created_at: int
    """Unix seconds."""


async def write_backup(
    path: Path,
    vault: SqliteVault,
    slot: KeySlot,
    master: bytes,
    blobs: Blobs,
    crypto: Crypto,
    now: int,
    cost: KdfCost | None = None,
) -> str | None:
    """Write a backup to a new file (mode 0600), which appears under its name only when whole.

    The passphrase of the vault opens it; a vault without one gets a recovery code, which is
    returned. `now` is in Unix seconds; `cost` is that of the recovery code. Writing to the vault
    goes on meanwhile. Raises FileExistsError, OSError, VaultError, BlobError.
    """
    _refuse_existing(path)
    code = None
    data = slot.read()
    if protection(data) is Protection.NONE:
        code = _new_code(crypto)
        data = await asyncio.to_thread(wrap, master, code, crypto, cost)
    head = _HEAD.pack(MAGIC, VERSION, _BY_CODE if code else _BY_PASSPHRASE, len(data)) + data
    head += crypto.random(_SALT_BYTES)
    part = path.with_name(path.name + ".part")
    snapshot = path.with_name(path.name + ".vault")
    try:
        snapshot.unlink(missing_ok=True)
        await vault.snapshot(snapshot)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(part, flags, PRIVATE), "wb") as file:
            file.write(head)
            stream = StreamWriter(file, _stream_key(master, head, crypto))
            with zipfile.ZipFile(stream, "w") as archive:
                manifest = {"format": "volok-backup", "version": VERSION, "created_at": now}
                archive.writestr(_entry(_MANIFEST), json.dumps(manifest))
                await asyncio.to_thread(_pack_file, archive, _VAULT, snapshot)
                for name in await blobs.names():
                    await _pack_blob(archive, name, blobs)
            stream.finish()
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        part.rename(path)
        sync_directory(path.parent)
    finally:
        snapshot.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    return code


async def read_backup(path: Path, secret: str, home: Home, crypto: Crypto) -> Manifest:
    """Restore a backup into a home that was never set up, whole or not at all.

    `secret` is the passphrase, or the recovery code in any spelling. A vault that had no passphrase
    has none again. Whoever calls holds the HomeLock. Raises AlreadySetUp, InvalidBackup,
    BackupTooNew, WrongPassphrase, WrongRecoveryCode, VaultError, BlobError, OSError; then the home
    is as it was.
    """
    if home.is_set_up() or (home.blobs.exists() and await FileBlobs(home.blobs).names()):
        raise AlreadySetUp
    staging = home.root / "restoring"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with path.open("rb") as file:
            head, data, by_code = _read_head(file)
            master = await _open_slot(data, secret, by_code, crypto)
            staging.mkdir(mode=0o700)
            staged = Home(staging)
            manifest = await _unpack(file, len(head), _stream_key(master, head, crypto), staged)
        # Proves that the key opens the vault, before anything is put in its place.
        connect(staged.vault, hkdf(master, VAULT_LABEL)).close()
        slot = KeySlot(staged.keyslot, crypto)
        slot.adopt(wrap(master, None, crypto) if by_code else data)
        _move_in(staged, home)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _new_code(crypto: Crypto) -> str:
    letters = base64.b32encode(crypto.random(20)).decode()
    return "-".join(letters[start : start + 4] for start in range(0, 32, 4))


def _spell_code(text: str) -> str:
    """The one spelling of a recovery code: digits that base32 lacks stand for look-alikes."""
    letters = "".join(text.upper().translate(str.maketrans("018", "OIB")).split("-"))
    letters = "".join(letters.split())
    return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))


def _stream_key(master: bytes, head: bytes, crypto: Crypto) -> StreamKey:
    key = hkdf(master, _LABEL + head[-_SALT_BYTES:])
    return StreamKey(crypto, key, _LABEL + hashlib.sha256(head).digest())


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name)


def _pack_file(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    with path.open("rb") as source, archive.open(_entry(name), "w", force_zip64=True) as target:
        shutil.copyfileobj(source, target, CHUNK_BYTES)


async def _pack_blob(archive: zipfile.ZipFile, name: str, blobs: Blobs) -> None:
    pieces = blobs.read(name)
    try:
        first = await anext(pieces, b"")
    except BlobMissing:  # deleted while the backup was written
        return
    with archive.open(_entry(_BLOBS + name), "w", force_zip64=True) as target:
        target.write(first)
        async for piece in pieces:
            target.write(piece)


def _read_head(file: BinaryIO) -> tuple[bytes, bytes, bool]:
    """Return the whole head, the slot in it, and whether a recovery code opens it."""
    fixed = file.read(_HEAD.size)
    if len(fixed) < _HEAD.size:
        raise InvalidBackup
    magic, version, opened_by, length = _HEAD.unpack(fixed)
    if magic != MAGIC or version < 1:
        raise InvalidBackup
    if version > VERSION:
        raise BackupTooNew
    rest = file.read(length + _SALT_BYTES)
    if (
        opened_by not in (_BY_PASSPHRASE, _BY_CODE)
        or length > MAX_SLOT_BYTES
        or len(rest) < length + _SALT_BYTES
    ):
        raise InvalidBackup
    return fixed + rest, rest[:length], opened_by == _BY_CODE


async def _open_slot(slot: bytes, secret: str, by_code: bool, crypto: Crypto) -> bytes:
    try:
        if protection(slot) is Protection.NONE:
            raise InvalidBackup
        return await asyncio.to_thread(
            unwrap, slot, _spell_code(secret) if by_code else secret, crypto
        )
    except VaultDamaged as error:
        raise InvalidBackup from error
    except VaultTooNew as error:
        raise BackupTooNew from error
    except WrongPassphrase as error:
        raise (WrongRecoveryCode if by_code else WrongPassphrase) from error


async def _unpack(file: BinaryIO, start: int, key: StreamKey, staged: Home) -> Manifest:
    try:
        length = file.seek(0, io.SEEK_END) - start
        stream = io.BufferedReader(StreamReader(file, start, length, key), CHUNK_BYTES)
        with zipfile.ZipFile(stream) as archive:
            names = _checked_names(archive)
            manifest = _read_manifest(archive)
            await asyncio.to_thread(_unpack_file, archive, _VAULT, staged.vault)
            blobs = FileBlobs(staged.blobs)
            for name in names:
                with archive.open(_BLOBS + name) as source:
                    await blobs.put(_pieces(source), expected=name)
    except (*ZIP_ERRORS, BlobMismatch) as error:
        raise InvalidBackup from error
    return manifest


def _checked_names(archive: zipfile.ZipFile) -> list[str]:
    """The hashes of the blobs, once it is sure that there is nothing else than there should be."""
    names = archive.namelist()
    blobs = [name.removeprefix(_BLOBS) for name in names if name.startswith(_BLOBS)]
    if sorted(names) != sorted([_MANIFEST, _VAULT, *(_BLOBS + name for name in set(blobs))]):
        raise InvalidBackup
    if not all(map(is_hex32, blobs)):
        raise InvalidBackup
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        raise InvalidBackup
    return blobs


def _read_manifest(archive: zipfile.ZipFile) -> Manifest:
    with archive.open(_MANIFEST) as file:
        fields = json.loads(file.read(_MAX_MANIFEST))
    if not isinstance(fields, dict) or type(fields.get("created_at")) is not int:
        raise InvalidBackup
    return Manifest(fields["created_at"])


def _unpack_file(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with archive.open(name) as source, os.fdopen(descriptor, "wb") as target:
        shutil.copyfileobj(source, target, CHUNK_BYTES)
        target.flush()
        os.fsync(target.fileno())


async def _pieces(source: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := source.read(CHUNK_BYTES):
        yield piece


def _move_in(staged: Home, home: Home) -> None:
    """Put the parts in place, the key last: a vault without its key never opens, nor is it lost."""
    if home.blobs.exists():
        shutil.rmtree(home.blobs)
    staged.blobs.rename(home.blobs)
    staged.vault.rename(home.vault)
    staged.keyslot.rename(home.keyslot)
    sync_directory(home.root)

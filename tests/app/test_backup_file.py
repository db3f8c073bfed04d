"""Backups: everything comes back, nobody else reads it, and damage restores nothing.

`tests/old_states/backup_v1` must load for ever. It was made once, by the program of its time:

    python tests/app/test_backup_file.py
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from volok.app.backup_file import (
    BackupTooNew,
    InvalidBackup,
    WrongRecoveryCode,
    read_backup,
    write_backup,
)
from volok.app.errors import AlreadySetUp, sentence
from volok.app.home import Home
from volok.model.crypto import hkdf
from volok.native import NativeCrypto
from volok.store.blobs import BlobError
from volok.store.file_blobs import FileBlobs
from volok.store.keyslot import VAULT_LABEL, KdfCost, KeySlot, Protection
from volok.store.vault import WrongPassphrase
from volok.store.vault_connection import Migration
from volok.store.vault_sqlite import SqliteVault

CRYPTO = NativeCrypto()
CHEAP = KdfCost(memory_kib=8, passes=1, lanes=1)
SCHEMA = (Migration(1, ("CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT)",)),)
FIXTURE = Path(__file__).parent.parent / "old_states" / "backup_v1"
MARKER = "quetzalcoatlus"
PICTURE = b"picture" * 30_000


@dataclass
class Person:
    """A home that is open."""

    home: Home
    slot: KeySlot
    master: bytes
    vault: SqliteVault
    blobs: FileBlobs

    async def backup(self, path: Path) -> str | None:
        return await write_backup(
            path, self.vault, self.slot, self.master, self.blobs, CRYPTO, 1_700_000_000, CHEAP
        )


async def person(root: Path, passphrase: str | None) -> Person:
    home = Home(root)
    home.prepare()
    slot = KeySlot(home.keyslot, CRYPTO, CHEAP)
    master = slot.create(passphrase)
    vault = await SqliteVault.open(home.vault, hkdf(master, VAULT_LABEL), SCHEMA)
    await vault.transact(lambda tx: tx.execute("INSERT INTO note(text) VALUES(?)", (MARKER,)))
    blobs = FileBlobs(home.blobs)
    await blobs.put(PICTURE)
    await blobs.put(b"")
    return Person(home, slot, master, vault, blobs)


@pytest.fixture
async def alice(tmp_path: Path) -> AsyncIterator[Person]:
    made = await person(tmp_path / "alice", "correct horse")
    yield made
    await made.vault.close()


@pytest.fixture
def new_home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "new")
    home.prepare()
    return home


def entries(home: Home) -> set[str]:
    return {path.name for path in home.root.iterdir()}


async def contents(home: Home, passphrase: str | None) -> tuple[object, dict[str, bytes]]:
    master = KeySlot(home.keyslot, CRYPTO).unlock(passphrase)
    vault = await SqliteVault.open(home.vault, hkdf(master, VAULT_LABEL), SCHEMA)
    rows = await vault.read(lambda tx: tx.execute("SELECT text FROM note"))
    await vault.close()
    blobs = FileBlobs(home.blobs)
    return rows, {name: await blobs.get(name) for name in await blobs.names()}


async def test_the_passphrase_brings_everything_back(
    alice: Person, new_home: Home, tmp_path: Path
) -> None:
    path = tmp_path / "b.volok-backup"
    assert await alice.backup(path) is None
    await alice.vault.transact(lambda tx: tx.execute("INSERT INTO note(text) VALUES('later')"))
    manifest = await read_backup(path, "correct horse", new_home, CRYPTO)
    assert manifest.created_at == 1_700_000_000
    rows, blobs = await contents(new_home, "correct horse")
    assert rows == [(MARKER,)]
    assert sorted(blobs.values()) == [b"", PICTURE]
    assert entries(new_home) == {"home.json", "keyslot.json", "vault.db", "blobs"}


async def test_without_a_passphrase_a_recovery_code_opens_it(
    tmp_path: Path, new_home: Home
) -> None:
    bob = await person(tmp_path / "bob", None)
    path = tmp_path / "b"
    code = await bob.backup(path)
    await bob.vault.close()
    assert code is not None
    assert [len(group) for group in code.split("-")] == [4] * 8
    assert bob.master.hex().encode() not in path.read_bytes()
    for wrong in ("", "AAAA-" * 8, code[:-1], code[:-1] + ("A" if code[-1] != "A" else "B")):
        with pytest.raises(WrongRecoveryCode):
            await read_backup(path, wrong, new_home, CRYPTO)
    sloppy = f" {code.lower().replace('-', ' ').replace('o', '0').replace('i', '1')}\n"
    await read_backup(path, sloppy, new_home, CRYPTO)
    assert KeySlot(new_home.keyslot, CRYPTO).protection() is Protection.NONE
    assert (await contents(new_home, None))[0] == [(MARKER,)]


async def test_the_file_is_private_and_says_nothing(alice: Person, tmp_path: Path) -> None:
    path = tmp_path / "b"
    await alice.backup(path)
    data = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    for secret in (MARKER.encode(), PICTURE[:20], b"vault.db", b"SQLite", b"blobs/"):
        assert secret not in data
    assert {entry.name for entry in tmp_path.iterdir()} == {"alice", "b"}


async def test_an_existing_file_is_never_overwritten(alice: Person, tmp_path: Path) -> None:
    path = tmp_path / "b"
    path.write_bytes(b"older backup")
    with pytest.raises(FileExistsError) as raised:
        await alice.backup(path)
    assert "exists already" in sentence(raised.value)
    assert path.read_bytes() == b"older backup"


async def test_a_backup_that_fails_leaves_no_file(alice: Person, tmp_path: Path) -> None:
    for blob in alice.home.blobs.rglob("*"):
        if blob.is_file() and blob.stat().st_size:
            blob.unlink()
            blob.mkdir()  # a blob that cannot be read
    with pytest.raises(BlobError):
        await alice.backup(tmp_path / "b")
    assert {entry.name for entry in tmp_path.iterdir()} == {"alice"}


async def test_a_wrong_passphrase_restores_nothing(
    alice: Person, new_home: Home, tmp_path: Path
) -> None:
    path = tmp_path / "b"
    await alice.backup(path)
    for wrong in ("", "correct hors"):
        with pytest.raises(WrongPassphrase) as raised:
            await read_backup(path, wrong, new_home, CRYPTO)
        assert not isinstance(raised.value, WrongRecoveryCode)
    assert entries(new_home) == {"home.json"}


async def test_an_existing_home_is_never_touched(alice: Person, tmp_path: Path) -> None:
    path = tmp_path / "b"
    await alice.backup(path)
    bob = await person(tmp_path / "bob", None)
    await bob.vault.close()
    before = {p: p.read_bytes() for p in bob.home.root.rglob("*") if p.is_file()}
    with pytest.raises(AlreadySetUp):
        await read_backup(path, "correct horse", bob.home, CRYPTO)
    assert {p: p.read_bytes() for p in bob.home.root.rglob("*") if p.is_file()} == before
    bob.slot.destroy()
    with pytest.raises(AlreadySetUp):
        await read_backup(path, "correct horse", bob.home, CRYPTO)


async def test_any_damage_restores_nothing(alice: Person, new_home: Home, tmp_path: Path) -> None:
    path, damaged = tmp_path / "b", tmp_path / "damaged"
    await alice.backup(path)
    data = path.read_bytes()
    chance = random.Random(1)
    places = [*range(16), *(chance.randrange(len(data)) for _ in range(60)), len(data) - 1]
    outcomes = set()
    for place in places:
        flipped = data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))])
        for content in (data[:place], flipped + data[place + 1 :]):
            damaged.write_bytes(content)
            with pytest.raises((InvalidBackup, BackupTooNew, WrongPassphrase)) as raised:
                await read_backup(damaged, "correct horse", new_home, CRYPTO)
            outcomes.add(raised.type)
            assert entries(new_home) == {"home.json"}
    assert InvalidBackup in outcomes
    damaged.write_bytes(data + b"\0")
    with pytest.raises(InvalidBackup):
        await read_backup(damaged, "correct horse", new_home, CRYPTO)


async def test_a_newer_backup_says_so(alice: Person, new_home: Home, tmp_path: Path) -> None:
    path = tmp_path / "b"
    await alice.backup(path)
    data = bytearray(path.read_bytes())
    data[12] = 2
    path.write_bytes(data)
    with pytest.raises(BackupTooNew):
        await read_backup(path, "correct horse", new_home, CRYPTO)


async def test_what_a_crash_left_of_a_restore_is_cleared_away(
    alice: Person, new_home: Home, tmp_path: Path
) -> None:
    path = tmp_path / "b"
    await alice.backup(path)
    (new_home.root / "restoring" / "blobs").mkdir(parents=True)
    (new_home.root / "restoring" / "vault.db").write_bytes(b"half")
    await read_backup(path, "correct horse", new_home, CRYPTO)
    assert entries(new_home) == {"home.json", "keyslot.json", "vault.db", "blobs"}


async def test_writing_goes_on_during_a_backup(
    alice: Person, new_home: Home, tmp_path: Path
) -> None:
    async def write() -> None:
        for number in range(100):
            await alice.vault.transact(
                lambda tx, n=number: tx.execute("INSERT INTO note(text) VALUES(?)", (str(n),))
            )

    await asyncio.gather(alice.backup(tmp_path / "b"), write())
    await read_backup(tmp_path / "b", "correct horse", new_home, CRYPTO)
    rows, _ = await contents(new_home, "correct horse")
    kept = [text for (text,) in rows]  # type: ignore[attr-defined]
    assert kept == [MARKER, *map(str, range(len(kept) - 1))]


async def test_version_1_loads(new_home: Home) -> None:
    code = (FIXTURE / "recovery-code.txt").read_text()
    await read_backup(FIXTURE / "old.volok-backup", code, new_home, CRYPTO)
    rows, blobs = await contents(new_home, None)
    assert (rows, list(blobs.values())) == ([("old",)], [b"old blob"])


async def make() -> None:
    FIXTURE.mkdir(parents=True)
    with TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        home.prepare()
        slot = KeySlot(home.keyslot, CRYPTO)
        master = slot.create(None)
        vault = await SqliteVault.open(home.vault, hkdf(master, VAULT_LABEL), SCHEMA)
        await vault.transact(lambda tx: tx.execute("INSERT INTO note(text) VALUES('old')"))
        blobs = FileBlobs(home.blobs)
        await blobs.put(b"old blob")
        path = FIXTURE / "old.volok-backup"
        code = await write_backup(path, vault, slot, master, blobs, CRYPTO, 1_700_000_000)
        (FIXTURE / "recovery-code.txt").write_text(f"{code}\n")
        await vault.close()


if __name__ == "__main__":
    asyncio.run(make())

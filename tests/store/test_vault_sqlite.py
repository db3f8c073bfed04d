"""The vault on real files: groups of transactions, durability, errors, and what erasing leaves."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volok.store.vault import (
    Transaction,
    VaultDamaged,
    VaultError,
    VaultFull,
    VaultLocked,
    VaultTooNew,
    WrongPassphrase,
)
from volok.store.vault_connection import Migration
from volok.store.vault_sqlite import SqliteVault, VaultSettings

KEY = bytes(range(32))
SCHEMA = (
    Migration(
        1,
        (
            "CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT UNIQUE)",
            "CREATE VIRTUAL TABLE word USING fts5(text)",
            "INSERT INTO word(word, rank) VALUES('secure-delete', 1)",
        ),
    ),
)
MARKER = "quetzalcoatlus"


def put(tx: Transaction, text: str) -> None:
    tx.execute("INSERT INTO note(text) VALUES(?)", (text,))


def texts(tx: Transaction) -> list[object]:
    return [text for (text,) in tx.execute("SELECT text FROM note ORDER BY id")]


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vault.db"


async def test_what_was_written_is_there_after_reopening(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    number = await vault.transact(
        lambda tx: tx.execute("INSERT INTO note(text) VALUES(?) RETURNING id", ("one",))
    )
    await vault.transact(lambda tx: tx.many("INSERT INTO note(text) VALUES(?)", [["two"], [None]]))
    assert number == [(1,)]
    await vault.close()
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    assert await vault.read(texts) == ["one", "two", None]
    await vault.close()


async def test_every_kind_of_value_returns_as_it_was(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    row = (None, -(2**63), 0.5, "текст", b"\0\xff")
    assert await vault.read(lambda tx: tx.execute("SELECT ?, ?, ?, ?, ?", row)) == [row]
    await vault.close()


async def test_files_hold_no_plaintext_and_belong_to_their_owner(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    for number in range(50):
        await vault.transact(lambda tx, n=number: put(tx, f"{MARKER} {n}"))
    assert path.with_name("vault.db-wal").stat().st_size > 0
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    seen = bytes_of(path.parent)
    await vault.close()
    seen += bytes_of(path.parent)
    assert MARKER.encode() not in seen
    assert b"SQLite format 3" not in seen
    assert b"CREATE TABLE" not in seen
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(path).execute("SELECT * FROM note")


async def test_another_key_is_refused_and_changes_nothing(path: Path) -> None:
    await (await SqliteVault.open(path, KEY, SCHEMA)).close()
    before = path.read_bytes()
    for key in (bytes(32), None):
        with pytest.raises(WrongPassphrase):
            await SqliteVault.open(path, key, SCHEMA)
    assert path.read_bytes() == before


async def test_a_newer_vault_is_refused_and_changes_nothing(path: Path) -> None:
    newer = (*SCHEMA, Migration(2, ("CREATE TABLE later(x)",)))
    await (await SqliteVault.open(path, KEY, newer)).close()
    before = path.read_bytes()
    with pytest.raises(VaultTooNew):
        await SqliteVault.open(path, KEY, SCHEMA)
    assert path.read_bytes() == before


async def test_migrations_run_once_in_order_and_wholly(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    await vault.transact(lambda tx: put(tx, "kept"))
    await vault.close()
    broken = (
        *SCHEMA,
        Migration(2, ("ALTER TABLE note ADD COLUMN extra DEFAULT 7",)),
        Migration(3, ("CREATE TABLE third(x)", "this is no SQL")),
    )
    with pytest.raises(VaultError):
        await SqliteVault.open(path, KEY, broken)
    vault = await SqliteVault.open(path, KEY, broken[:2])
    row = await vault.read(lambda tx: tx.execute("SELECT text, extra FROM note"))
    tables = await vault.read(
        lambda tx: tx.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'third'")
    )
    assert (row, tables) == ([("kept", 7)], [(0,)])
    await vault.close()


async def test_gaps_in_migration_numbers_are_an_error_of_the_caller(path: Path) -> None:
    with pytest.raises(ValueError, match="numbered"):
        await SqliteVault.open(path, KEY, (Migration(2, ()),))


async def test_a_failed_transaction_undoes_itself_alone(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA)

    def fail(tx: Transaction) -> None:
        put(tx, "never")
        raise KeyError("mine")

    def exhaust(tx: Transaction) -> None:
        next(iter(tx.execute("SELECT 1 WHERE 0")))

    results = await asyncio.gather(
        *(
            vault.transact(work)
            for work in (
                lambda tx: put(tx, "a"),
                fail,
                lambda tx: put(tx, "a"),
                exhaust,
                lambda tx: put(tx, "b"),
            )
        ),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [
        type(None),
        KeyError,
        VaultError,
        VaultError,
        type(None),
    ]
    assert await vault.read(texts) == ["a", "b"]
    await vault.close()


async def test_a_failed_commit_fails_its_group_and_nothing_else(path: Path) -> None:
    deferred = Migration(
        2, ("CREATE TABLE child(note INTEGER REFERENCES note(id) DEFERRABLE INITIALLY DEFERRED)",)
    )
    vault = await SqliteVault.open(path, KEY, (*SCHEMA, deferred))
    begun, gate = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        begun.set()
        gate.wait(10)

    # It keeps the writer until both others wait, so that they share the next commit.
    holding = asyncio.ensure_future(vault.transact(hold))
    await asyncio.to_thread(begun.wait, 10)
    group = [
        asyncio.ensure_future(vault.transact(work))
        for work in (
            lambda tx: put(tx, "innocent"),
            lambda tx: tx.execute("INSERT INTO child VALUES(99)"),
        )
    ]
    await asyncio.sleep(0)
    gate.set()
    await holding
    results = await asyncio.gather(*group, return_exceptions=True)
    assert [type(result) for result in results] == [VaultError, VaultError]
    assert results[0] is not results[1]
    assert await vault.read(texts) == []
    await vault.transact(lambda tx: put(tx, "after"))
    assert await vault.read(texts) == ["after"]
    await vault.close()


async def test_a_call_cancelled_before_its_turn_does_not_happen(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    begun, gate = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        begun.set()
        gate.wait(10)

    first = asyncio.ensure_future(vault.transact(hold))
    await asyncio.to_thread(begun.wait, 10)
    second = asyncio.ensure_future(vault.transact(lambda tx: put(tx, "never")))
    await asyncio.sleep(0)
    second.cancel()
    gate.set()
    await first
    assert await vault.transact(texts) == []  # which comes after it in the queue
    await vault.close()


async def test_a_read_sees_what_returned_and_nothing_newer_within_it(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    await vault.transact(lambda tx: put(tx, "old"))
    begun, go_on = threading.Event(), threading.Event()

    def twice(tx: Transaction) -> tuple[list[object], list[object]]:
        before = texts(tx)
        begun.set()
        go_on.wait(10)
        return before, texts(tx)

    reading = asyncio.ensure_future(vault.read(twice))
    await asyncio.to_thread(begun.wait, 10)
    await vault.transact(lambda tx: put(tx, "new"))
    go_on.set()
    assert await reading == (["old"], ["old"])
    assert await vault.read(texts) == ["old", "new"]
    await vault.close()


async def test_a_read_cannot_write(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    with pytest.raises(VaultError):
        await vault.read(lambda tx: put(tx, "no"))
    assert await vault.read(texts) == []
    await vault.close()


async def test_a_full_disk_loses_nothing_and_the_next_transaction_works(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA, VaultSettings(pages_limit=40))
    await vault.transact(lambda tx: put(tx, "kept"))
    huge = "x" * 40 * 4096

    async def attempt(text: str) -> bool:
        try:
            await vault.transact(lambda tx: put(tx, text))
        except VaultFull:
            return False
        return True

    fate = await asyncio.gather(attempt("a"), attempt(huge), attempt("b"))
    assert fate[1] is False
    expected = ["kept"] + [text for text, kept in zip("a?b", fate, strict=True) if kept]
    assert await vault.read(texts) == expected
    await vault.transact(lambda tx: put(tx, "after"))
    assert await vault.read(texts) == [*expected, "after"]
    await vault.close()


async def test_deleted_text_is_gone_from_the_files_after_a_quiet_moment(path: Path) -> None:
    # Unencrypted, so that the raw bytes can be searched.
    vault = await SqliteVault.open(path, None, SCHEMA, VaultSettings(quiet_seconds=0.05))

    def fill(tx: Transaction) -> None:
        for number in range(300):
            put(tx, f"{MARKER} {number} " + "pad " * 30)
            tx.execute("INSERT INTO word(text) VALUES(?)", (f"{MARKER}{number} common",))

    def clear(tx: Transaction) -> None:
        tx.execute("DELETE FROM note")
        tx.execute("DELETE FROM word")

    await vault.transact(fill)
    assert MARKER.encode() in bytes_of(path.parent)
    await vault.transact(clear)
    async with asyncio.timeout(10):
        while path.with_name("vault.db-wal").stat().st_size:
            await asyncio.sleep(0.01)  # a file's size can only be polled
    assert MARKER.encode() not in bytes_of(path.parent)
    await vault.close()


async def test_the_log_is_cut_on_close(path: Path) -> None:
    vault = await SqliteVault.open(path, None, SCHEMA)
    await vault.transact(lambda tx: put(tx, MARKER))
    await vault.transact(lambda tx: tx.execute("DELETE FROM note"))
    assert MARKER.encode() in bytes_of(path.parent)
    await vault.close()
    assert MARKER.encode() not in bytes_of(path.parent)
    assert [file.name for file in path.parent.iterdir()] == ["vault.db"]


async def test_the_log_is_cut_even_when_it_never_gets_quiet(path: Path) -> None:
    vault = await SqliteVault.open(
        path, KEY, SCHEMA, VaultSettings(commits_between_cuts=3, quiet_seconds=60)
    )
    sizes = []
    for number in range(7):
        await vault.transact(lambda tx, n=number: put(tx, str(n)))
        await vault.read(texts)
        sizes.append(path.with_name("vault.db-wal").stat().st_size)
    await vault.close()
    assert sizes[6] < 3 * max(sizes[:3])
    assert min(sizes[3:]) <= sizes[0]


async def test_after_close_everything_is_locked(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    waiting = asyncio.ensure_future(vault.transact(lambda tx: put(tx, "in time")))
    await asyncio.sleep(0)
    await vault.close()
    await vault.close()
    await waiting
    for call in (
        vault.transact(texts),
        vault.read(texts),
        vault.flush(),
        vault.snapshot(path.with_name("copy.db")),
    ):
        with pytest.raises(VaultLocked):
            await call
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    assert await vault.read(texts) == ["in time"]
    await vault.close()


async def test_a_snapshot_is_consistent_and_encrypted_while_writing_goes_on(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    copy = path.with_name("copy.db")

    def pair(tx: Transaction, number: int) -> None:
        put(tx, f"{MARKER} {number}")
        put(tx, f"{number} {MARKER}")

    async def write() -> None:
        for number in range(200):
            await vault.transact(lambda tx, n=number: pair(tx, n))

    writing = asyncio.ensure_future(write())
    await vault.snapshot(copy)
    await writing
    with pytest.raises(VaultError):
        await vault.snapshot(copy)
    await vault.transact(lambda tx: put(tx, "still writable"))
    await vault.close()
    assert MARKER.encode() not in copy.read_bytes()
    other = await SqliteVault.open(copy, KEY, SCHEMA)
    count = await other.read(lambda tx: tx.execute("SELECT count(*) % 2 FROM note"))
    sound = await other.read(lambda tx: tx.execute("PRAGMA integrity_check"))
    assert (count, sound) == ([(0,)], [("ok",)])
    await other.close()


async def test_an_altered_page_is_reported_as_damage(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    await vault.transact(
        lambda tx: tx.many("INSERT INTO note(text) VALUES(?)", [[f"{n}" * 99] for n in range(999)])
    )
    await vault.close()
    data = bytearray(path.read_bytes())
    for offset in range(4096, len(data), 4096):
        data[offset + 100] ^= 1
    path.write_bytes(data)
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    with pytest.raises(VaultDamaged):
        await vault.read(texts)
    await vault.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from volok.store.vault_sqlite import SqliteVault
from volok.store.vault_connection import Migration

async def main():
    vault = await SqliteVault.open(
        Path(sys.argv[1]), bytes(32),
        (Migration(1, ("CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT)",)),))
    async def write(name):
        for number in range(10**9):
            text = f"{name}:{number}"
            await vault.transact(lambda tx: tx.execute("INSERT INTO note(text) VALUES(?)", (text,)))
            print(text, flush=True)
    await asyncio.gather(*(write(name) for name in "abcd"))
asyncio.run(main())
"""


async def test_sigkill_loses_nothing_that_was_acknowledged(path: Path) -> None:
    acknowledged: set[str] = set()
    for wanted in (1, 40, 400):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(wanted)]
        process.kill()
        seen += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        acknowledged.update(line.strip() for line in seen if line.endswith("\n"))
    vault = await SqliteVault.open(
        path, bytes(32), (Migration(1, ("CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT)",)),)
    )
    assert len(acknowledged) >= 400
    assert acknowledged <= set(await vault.read(texts))
    await vault.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=4), max_size=12
    )
)
def test_groups_behave_like_one_transaction_after_another(
    tmp_path_factory: pytest.TempPathFactory, jobs: list[list[tuple[int, bool]]]
) -> None:
    """Each job adds numbers, and fails whole when one is there or when it is told to."""

    def work(tx: Transaction, steps: Sequence[tuple[int, bool]]) -> None:
        for number, fails in steps:
            put(tx, str(number))
            if fails:
                raise LookupError

    model: list[str] = []
    fates = []
    for steps in jobs:
        trial = list(model)
        sound = True
        for number, fails in steps:
            sound = sound and str(number) not in trial and not fails
            trial.append(str(number))
        fates.append(sound)
        model = trial if sound else model

    async def run() -> None:
        folder = tmp_path_factory.mktemp("vault")
        vault = await SqliteVault.open(folder / "vault.db", KEY, SCHEMA)
        results = await asyncio.gather(
            *(vault.transact(lambda tx, s=steps: work(tx, s)) for steps in jobs),
            return_exceptions=True,
        )
        assert [result is None for result in results] == fates
        assert await vault.read(texts) == model
        await vault.close()

    asyncio.run(run())


def test_an_unknown_path_is_an_error_of_the_contract(tmp_path: Path) -> None:
    with pytest.raises(VaultError):
        asyncio.run(SqliteVault.open(tmp_path / "missing" / "vault.db", KEY, SCHEMA))


async def test_compacting_leaves_no_copy_of_what_was_deleted(path: Path) -> None:
    vault = await SqliteVault.open(path, None, SCHEMA)
    await vault.transact(lambda tx: [put(tx, f"{MARKER} {n:05d} {'x' * 90}") for n in range(4000)])
    for part in range(10):
        sql = f"DELETE FROM note WHERE id % 10 = {part} AND id != 7"
        await vault.transact(lambda tx, sql=sql: tx.execute(sql))
    large = path.stat().st_size
    await vault.compact()
    assert path.stat().st_size < large / 10
    assert bytes_of(path.parent).count(MARKER.encode()) == 2  # the row and its index entry
    assert len(await vault.read(texts)) == 1
    await vault.transact(lambda tx: put(tx, "goes on"))
    await vault.close()


async def test_compacting_between_transactions(path: Path) -> None:
    vault = await SqliteVault.open(path, KEY, SCHEMA)
    works = [vault.transact(lambda tx, n=n: put(tx, f"text {n}")) for n in range(50)]
    await asyncio.gather(*works, vault.compact(), vault.compact())
    assert len(await vault.read(texts)) == 50
    await vault.close()

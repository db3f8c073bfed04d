"""What is wrong with a store in PostgreSQL is found; it can be counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.cluster_servers import Postgres, postgres_server

from volok.model.event import Event
from volok.native import NativeCrypto
from volok.store import postgres_inspection
from volok.store.conformance_tools import ALICE, BOB, CAROL, NOW, make_deletion, make_event
from volok.store.key_file import KEY_FILE, KeyFile, WrongKeyFile
from volok.store.postgres_inspection import stats, verify
from volok.store.postgres_store import PostgresStore
from volok.store.store import StoreError

CRYPTO = NativeCrypto()
GONE = make_event(content="gone")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture
async def url(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with something of everything in it, in pages of 40."""
    monkeypatch.setattr(postgres_inspection, "_AT_ONCE", 40)
    made = postgres.new_store()
    notes = [
        make_event(content=f"река volok {n}", tags=[["t", "x"], ["t", f"{n}"]]) for n in range(100)
    ]
    wrap = make_event(1059, CAROL, tags=[["p", BOB], ["expiration", str(NOW + 90)]])
    profiles = [make_event(0, content=f"name {n}", created_at=NOW + n) for n in range(2)]
    deleted = make_deletion(ALICE, ["e", GONE.id], ["a", f"30023:{ALICE}:x"])
    vanish = make_event(62, BOB, NOW - 9)
    store = await PostgresStore.open(made, tmp_path, CRYPTO)
    await store.add([*notes, GONE, wrap, *profiles, deleted, vanish], NOW)
    await store.delete([event.id for event in notes[:20]])
    await store.close()
    return made


async def _problems(url: str, folder: Path, now: int = NOW) -> dict[str, int]:
    return dict((await verify(url, folder, now, CRYPTO)).problems)


async def test_a_sound_store_is_found_sound_and_counted(url: str, tmp_path: Path) -> None:
    found = await verify(url, tmp_path, NOW, CRYPTO)
    assert not found.problems, found.told
    assert (found.events, found.searched) == (84, 81)
    counted = await stats(url)
    assert (counted.events, counted.regular, counted.replaceable) == (84, 83, 1)
    assert (counted.sealed, counted.expiring, counted.vanished) == (1, 1, 1)
    assert counted.deletions >= 1
    assert (counted.oldest, counted.newest) == (NOW - 9, NOW + 1)
    assert counted.bytes_on_disk > 100_000
    assert (counted.free_bytes, counted.unsearched) == (None, 0)


async def test_it_may_be_looked_at_while_relays_write(url: str, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    (copied / KEY_FILE).write_bytes((tmp_path / KEY_FILE).read_bytes())
    store = await PostgresStore.open(url, tmp_path, CRYPTO)
    await store.add([make_event(content="more")], NOW)
    assert not await _problems(url, copied)
    assert (await stats(url)).events == 85
    await store.close()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            "UPDATE events SET sealed = sealed || '\\x00' WHERE number = 50",
            "an event cannot be read",
        ),
        ("UPDATE events SET created_at = 5 WHERE number = 50", "columns differ from their event"),
        ("UPDATE events SET place = '\\xab' WHERE number = 50", "columns differ from their event"),
        (
            "UPDATE events SET tokens = '{{1}}' WHERE number = 50",
            "the index of words differs from the event",
        ),
        (
            "DELETE FROM tags WHERE ctid = (SELECT max(ctid) FROM tags)",
            "tags holds 162 rows, not 163",
        ),
        (
            "UPDATE tags SET key = '\\xab' WHERE ctid = (SELECT max(ctid) FROM tags)",
            "an index lacks an entry",
        ),
        (
            "INSERT INTO tags SELECT '\\xab', created_at, rank, shelf, name FROM tags LIMIT 1",
            "tags holds 164 rows, not 163",
        ),
        ("INSERT INTO tombstones VALUES ('\\x{mark}')", "an event is there that was deleted"),
        (
            "INSERT INTO vanished VALUES ('\\x{author}', 1700000000)",
            "an event is there that was deleted",
        ),
        (
            "INSERT INTO floors SELECT place, created_at + 1, '' FROM events WHERE place NOTNULL",
            "an event is there that was deleted",
        ),
        ("UPDATE store SET head = 3", "the head is lower than an entry"),
    ],
)
async def test_what_is_wrong_is_told(
    postgres: Postgres, url: str, tmp_path: Path, damage: str, problem: str
) -> None:
    keys = KeyFile.open(tmp_path / KEY_FILE, CRYPTO.random)
    rows = postgres_inspection.Rows(keys, CRYPTO)
    event = _stored()
    command = damage.format(mark=rows.mark(event.id, ALICE).hex(), author=rows.author(ALICE).hex())
    keys.close()
    schema = url.rpartition("=")[2]
    postgres.sql(f"SET search_path = {schema}; {command}")
    found = await verify(url, tmp_path, NOW, CRYPTO)
    assert [told for told in found.problems if told.startswith(problem)], found.told
    assert ALICE not in " ".join(found.told)


def _stored() -> Event:
    return make_event(content="река volok 99", tags=[["t", "x"], ["t", "99"]])


async def test_what_should_have_left_is_told(url: str, tmp_path: Path) -> None:
    assert not await _problems(url, tmp_path, NOW + 149)
    assert await _problems(url, tmp_path, NOW + 150) == {"an event is there that has expired": 1}
    keys = KeyFile.open(tmp_path / KEY_FILE, CRYPTO.random)
    keys.erase([50])
    keys.write(keys.position)
    keys.close()
    gone = await _problems(url, tmp_path)
    assert gone.pop("the key of an event is gone") == 1
    assert list(gone) == ["tags holds 163 rows, not 161"]


async def test_what_cannot_be_looked_at_is_said(
    postgres: Postgres, url: str, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(WrongKeyFile):
        await verify(url, other, NOW, CRYPTO)
    KeyFile.open(other / KEY_FILE, CRYPTO.random).close()
    with pytest.raises(WrongKeyFile):
        await verify(url, other, NOW, CRYPTO)
    empty = postgres.new_store()
    for work in (
        stats(empty),
        verify(empty, other, NOW, CRYPTO),
        stats("postgresql:///no?host=/no"),
    ):
        with pytest.raises(StoreError):
            await work
    postgres.sql(f"SET search_path = {url.rpartition('=')[2]}; UPDATE store SET version = 99")
    with pytest.raises(StoreError):
        await stats(url)

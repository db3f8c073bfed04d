"""What is wrong with a store's file is found; it can be counted, and made small."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from volok.model.filters import Filter
from volok.store import soundness
from volok.store.conformance_tools import ALICE, BOB, CAROL, NOW, make_deletion, make_event
from volok.store.inspection import compact, stats, verify
from volok.store.sqlite_store import SqliteStore
from volok.store.store import StoreError

KEY = b"k" * 32


async def fill(path: Path, key: bytes | None = None) -> None:
    """A store with something of everything in it, and all words in the index."""
    store = await SqliteStore.open(path, key)
    notes = [
        make_event(content=f"река volok {n} don't 水 ё", tags=[["t", "x"]]) for n in range(300)
    ]
    gone = make_event(content="gone")
    wrap = make_event(1059, CAROL, tags=[["p", BOB], ["expiration", str(NOW + 90)]])
    profiles = [make_event(0, content=f"name {n}", created_at=NOW + n) for n in range(2)]
    deleted = make_deletion(ALICE, ["e", gone.id], ["a", f"30023:{ALICE}:x"])
    vanish = make_event(62, BOB, NOW - 9)
    await store.add([*notes, gone, wrap, *profiles, deleted, vanish], NOW)
    await store.delete([event.id for event in notes[:200]])
    async with asyncio.timeout(20):
        while not await store.query([Filter(search="299")], 1, NOW):
            await asyncio.sleep(0.01)
        await store.delete([event.id for event in notes[200:210]])
    await store.close()


@pytest.mark.parametrize("key", [None, KEY])
async def test_a_sound_store_is_found_sound(tmp_path: Path, key: bytes | None) -> None:
    path = tmp_path / "store.db"
    await fill(path, key)
    found = verify(path, NOW, key)
    assert not found.problems, found.told
    assert found.events == 90 + 4
    assert found.searched >= 90
    counted = stats(path, key)
    assert (counted.events, counted.regular, counted.replaceable) == (94, 93, 1)
    assert (counted.sealed, counted.expiring, counted.deletions, counted.vanished) == (1, 1, 1, 1)
    assert (counted.oldest, counted.newest) == (NOW - 9, NOW + 1)
    assert counted.bytes_on_disk == path.stat().st_size
    before, after = compact(path, key)
    assert before == counted.bytes_on_disk
    assert after == path.stat().st_size < before
    assert stats(path, key).free_bytes == 0
    assert not verify(path, NOW, key).problems
    store = await SqliteStore.open(path, key)
    assert len(await store.query([Filter(search="volok")], 500, NOW)) == 90
    await store.close()


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        ("DELETE FROM postings WHERE number = 250", "an index lacks an entry"),
        ("DELETE FROM timeline WHERE number = 250", "an index lacks an entry"),
        ("DELETE FROM expiry", "an index lacks an entry"),
        ("DELETE FROM places", "an index lacks an entry"),
        ("DELETE FROM ids WHERE number = 250", "an id leads elsewhere"),
        ("UPDATE ids SET number = 7 WHERE number = 250", "an id leads elsewhere"),
        ("INSERT INTO postings VALUES (x'00', 1, 1, 1, 1)", "postings holds"),
        ("DELETE FROM events WHERE number = 250", "timeline holds"),
        ("UPDATE events SET raw = x'7b7d' WHERE number = 250", "an event cannot be read"),
        (
            "UPDATE events SET raw = replace(CAST(raw AS TEXT), 'volok', 'voloc')"
            " WHERE number = 250",
            None,
        ),
        (
            "UPDATE events SET raw = CAST(replace(CAST(raw AS TEXT), 'volok', 'voloc') AS BLOB)"
            " WHERE number = 250",
            "an id is not the hash of its event",
        ),
        ("UPDATE events SET expires_at = 5 WHERE number = 250", "columns differ from their event"),
        (
            "INSERT INTO texts (texts, rowid, text) VALUES ('delete', 250, 'volok')",
            "the index of words differs from the events",
        ),
        (
            "INSERT INTO texts (rowid, text) VALUES (99999, 'volok')",
            "the index of words differs from the events",
        ),
        ("UPDATE numbers SET head = 3", "the head is lower than an entry"),
        (
            f"INSERT INTO vanished VALUES (x'{ALICE[:32]}', {NOW})",
            "an event is there that was deleted",
        ),
    ],
)
async def test_every_harm_is_found(tmp_path: Path, harm: str, problem: str | None) -> None:
    path = tmp_path / "store.db"
    await fill(path)
    connection = apsw.Connection(str(path))
    try:
        connection.execute(harm)
    except apsw.Error:
        # The tables themselves refuse some harm.
        assert problem is None
        return
    finally:
        connection.close()
    found = verify(path, NOW)
    assert problem is not None
    assert any(one.startswith(problem) for one in found.problems), found.told
    assert found.told


async def test_the_expired_must_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await fill(path)
    assert not verify(path, NOW + 149).problems
    assert "an event is there that has expired" in verify(path, NOW + 150).problems


async def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await fill(path)
    data = bytearray(path.read_bytes())
    for page in range(3, len(data) // 4096):
        data[page * 4096 : page * 4096 + 8] = b"\xff" * 8
    path.write_bytes(data)
    try:
        found = verify(path, NOW)
    except StoreError:
        return
    assert found.problems


async def test_problems_tell_no_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundness, "_MOST_TOLD", 3)
    path = tmp_path / "store.db"
    await fill(path)
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM postings")
    connection.close()
    found = verify(path, NOW)
    assert len(found.told) == 3
    assert sum(found.problems.values()) > 90
    assert not any(ALICE[:8] in line or "volok" in line for line in found.told)


@pytest.mark.parametrize("look", [lambda path: verify(path, NOW), stats, compact])
async def test_there_must_be_a_store(tmp_path: Path, look) -> None:
    with pytest.raises(StoreError):
        look(tmp_path / "store.db")
    (tmp_path / "other.db").write_bytes(b"no store, but long enough to be looked at" * 100)
    with pytest.raises(StoreError):
        look(tmp_path / "other.db")
    assert not (tmp_path / "store.db").exists()

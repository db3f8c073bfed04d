"""A file of an older version holds the same after it was opened, and none of what it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import apsw
import pytest

from volok.model.event import parse_event
from volok.model.filters import Filter
from volok.store import sqlite_migration
from volok.store.conformance_tools import ALICE, BOB, NOW
from volok.store.inspection import verify
from volok.store.sqlite_file import VERSION
from volok.store.sqlite_store import SqliteStore
from volok.store.store import Outcome, StoreError

STATES = Path(__file__).parents[1] / "old_states"
OLD = STATES / "store_v1"
KEYS = {"store.db": None, "encrypted.db": b"k" * 32}


@pytest.mark.parametrize("version", range(1, VERSION + 1))
@pytest.mark.parametrize("name", KEYS)
async def test_every_version_is_brought_up_to_date(tmp_path: Path, name: str, version: int) -> None:
    path, key, old = tmp_path / name, KEYS[name], STATES / f"store_v{version}"
    plain = shutil.copy(old / "store.db", tmp_path / "plain.db")
    with apsw.Connection(str(plain)) as made:
        assert made.pragma("user_version") == version
    made.close()
    shutil.copy(old / name, path)
    holds = json.loads((old / "holds.json").read_text())
    events = [parse_event(one) for one in holds["events"]]
    refused = [parse_event(one) for one in holds["refused"]]
    for _ in range(2):
        store = await SqliteStore.open(path, key)
        entries = await store.log(0, 100, NOW)
        assert [entry.event for entry in entries] == events
        assert [entry.raw for entry in entries] == [event.to_json() for event in events]
        assert [entry.number for entry in entries] == holds["numbers"]
        assert store.head == holds["head"]
        for wanted in (
            Filter(authors=frozenset([BOB])),
            Filter(kinds=frozenset([0]), authors=frozenset([ALICE])),
            Filter(tags={"t": frozenset(["river", "ü"])}),
            Filter(kinds=frozenset([1, 1059])),
            Filter(ids=frozenset(event.id for event in events)),
        ):
            matching = {event.id for event in events if wanted.matches(event)}
            found = await store.query([wanted], 100, NOW)
            assert {entry.event.id for entry in found} == matching != set()
        assert await store.add([*refused, *events], NOW) == [
            *[Outcome.DELETED] * len(refused),
            *[Outcome.DUPLICATE] * len(events),
        ]
        assert await store.expire(NOW + 9) in (0, 1)
        events = [event for event in events if event.content != "brief"]
        holds["numbers"] = [entry.number for entry in await store.log(0, 100, NOW)]
        await store.close()
        assert not verify(path, NOW + 9, key).problems
    assert b"brief" not in path.read_bytes()


async def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    shutil.copy(OLD / "store.db", path)

    def fail(_: bytes) -> None:
        raise StoreError

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_migration, "read_event", fail)
        with pytest.raises(StoreError):
            await SqliteStore.open(path)
    with pytest.raises(StoreError):
        verify(path, NOW)
    store = await SqliteStore.open(path)
    assert len(await store.log(0, 100, NOW)) == len(
        json.loads((OLD / "holds.json").read_text())["events"]
    )
    await store.close()
    assert not verify(path, NOW).problems

"""The index of words follows the events, gives way to writers, and keeps nothing that has left."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from volok.model.filters import Filter
from volok.store.conformance_tools import ALICE, BOB, NOW, make_event
from volok.store.inspection import stats, verify
from volok.store.sqlite_file import SqliteOptions
from volok.store.sqlite_store import SqliteStore


async def all_words(store: SqliteStore, last: str) -> None:
    """Wait until the index has the words of the event that was added last."""
    async with asyncio.timeout(30):
        while not await store.query([Filter(search=last)], 1, NOW):
            await asyncio.sleep(0.01)


async def test_words_of_what_has_left_are_in_no_file(tmp_path: Path) -> None:
    dice = random.Random(1)
    store = await SqliteStore.open(tmp_path / "store.db")
    names = [f"{dice.choice('qxzjkv')}{n:04}{dice.randrange(10**12):012}" for n in range(400)]
    lasting, leaving = names[0::2], names[1::2]
    events = {
        name: make_event(
            content=f"boat {name}", tags=[["expiration", str(NOW + 50)]] * (n % 4 == 3)
        )
        for n, name in enumerate(names)
    }
    await store.add(list(events.values()), NOW)
    profile = make_event(0, content="wzwzwzwz0123")
    await store.add([profile, make_event(content="yxyxyx4567")], NOW)
    await all_words(store, "yxyxyx4567")
    assert len(await store.query([Filter(search="boat")], 500, NOW)) == 400
    await store.add([make_event(0, created_at=NOW + 1, content="replaced")], NOW)
    await store.delete([events[name].id for name in leaving[::2]])
    await store.expire(NOW + 50)
    await store.flush()
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    # A term may follow another with which it shares its beginning; its end is always there.
    assert not [name for name in leaving if name[5:].encode() in data]
    assert b"wzwzwzwz0123" not in data
    assert all(name[5:].encode() in data for name in lasting)
    await store.close()
    assert not verify(tmp_path / "store.db", NOW + 50).problems


async def test_no_word_of_anything_sealed_is_taken(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    sealed = [make_event(kind, ALICE, tags=[["p", BOB]], content="secretly") for kind in (4, 1059)]
    await store.add([*sealed, make_event(content="last")], NOW)
    await all_words(store, "last")
    assert await store.query([Filter(search="secretly")], 9, NOW) == []
    await store.close()
    assert verify(tmp_path / "store.db", NOW).searched == 1


async def test_intake_goes_first_and_words_catch_up(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path)
    for turn in range(20):
        await store.add([make_event(content=f"turn{turn} {n}") for n in range(100)], NOW)
    assert stats(path).unsearched >= 500
    await all_words(store, "turn19")
    await store.flush()
    async with asyncio.timeout(30):
        while len(await store.query([Filter(search="turn19")], 500, NOW)) < 100:
            await asyncio.sleep(0.01)
    assert stats(path).unsearched == 0
    await store.close()
    # A store that was closed before its words were taken takes them when it is open again.
    store = await SqliteStore.open(path)
    await store.add([make_event(content="afterwards")], NOW)
    await store.close()
    store = await SqliteStore.open(path)
    await all_words(store, "afterwards")
    await store.close()
    assert not verify(path, NOW).problems


async def test_words_are_taken_even_when_it_never_gets_quiet(tmp_path: Path) -> None:
    options = SqliteOptions(words_seconds=60, words_longest_seconds=0.05)
    store = await SqliteStore.open(tmp_path / "store.db", options=options)
    await store.add([make_event(content="first")], NOW)
    async with asyncio.timeout(30):
        while not await store.query([Filter(search="first")], 1, NOW):
            await store.add([make_event(content="more")], NOW)
    await store.close()


async def test_words_wait_until_it_is_quiet(tmp_path: Path) -> None:
    options = SqliteOptions(words_seconds=0.2)
    store = await SqliteStore.open(tmp_path / "store.db", options=options)
    began = time.monotonic()
    await store.add([make_event(content="first")], NOW)
    await all_words(store, "first")
    assert time.monotonic() - began >= 0.2
    await store.close()

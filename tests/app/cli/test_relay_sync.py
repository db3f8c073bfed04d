"""`volok relay sync`: the folder of one relay beside another relay that runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.app.cli.relay_command import relay
from tests.app.conftest import Process

from volok.model.event import Event, sign_event
from volok.model.filters import Filter
from volok.native import NativeCrypto
from volok.relay.errors import RelayError
from volok.store.sqlite_store import SqliteStore

NOW = 1_750_000_000
NOTES = [sign_event(NativeCrypto(), b"\x05" * 32, NOW + n, 1, (), str(n)) for n in range(60)]


async def fill(folder: Path, events: list[Event]) -> None:
    folder.mkdir()
    store = await SqliteStore.open(folder / "events.db")
    await store.add(events, NOW)
    await store.close()


async def held(folder: Path) -> set[str]:
    store = await SqliteStore.open(folder / "events.db")
    try:
        return {entry.event.id for entry in await store.query([Filter()], 1_000, NOW)}
    finally:
        await store.close()


def test_a_folder_and_a_relay_come_to_the_same(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    asyncio.run(fill(mine, NOTES[:40]))
    asyncio.run(fill(theirs, NOTES[10:]))
    process = Process(("relay", "--port", "0", "--data", str(theirs), "--json")).start()
    try:
        url, data = process.first["url"], ("--data", str(mine))
        notes = json.dumps({"since": NOW + 55})
        assert "Fetched 5 of 5" in relay("sync", url, *data, "--filter", notes)
        told = json.loads(relay("sync", url, *data, "--both", "--json"))
        assert (told["fetched"], told["published"], told["refused"]) == (15, 10, 0)
        told = json.loads(relay("sync", url, *data, "--up", "--json"))
        assert (told["needed"], told["lacking"]) == (0, 0)
        with pytest.raises(RelayError, match="A relay uses this data folder"):
            relay("sync", url, "--data", str(theirs))
    finally:
        process.stop()
    every = {event.id for event in NOTES}
    assert asyncio.run(held(mine)) == asyncio.run(held(theirs)) == every


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("http://relay.example",), "no address of a relay"),
        (("ws://127.0.0.1:1", "--filter", "{"), "not JSON"),
        (("ws://127.0.0.1:1", "--filter", '{"colour": 1}'), "unknown condition"),
        (("ws://127.0.0.1:1",), "."),
    ],
)
def test_what_goes_wrong_is_told(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    with pytest.raises(RelayError, match=problem):
        relay("sync", *arguments, "--data", str(tmp_path / "data"))

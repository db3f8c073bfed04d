"""`volok relay import` and `export` of a store that several relays share."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.cli.relay_command import relay
from tests.app.cli.test_relay_upkeep import lines
from tests.relay.cluster import Subscriber, new_relay
from tests.store.cluster_servers import Postgres, postgres_server

from volok.relay.errors import RelayError
from volok.store.key_file import KEY_FILE


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


def test_a_folder_moves_into_a_shared_store_and_out_again(
    postgres: Postgres, tmp_path: Path
) -> None:
    alone, key, back = (str(tmp_path / name) for name in ("alone", "key", "back"))
    store, text = postgres.new_store(), lines(1200)
    assert "1200 of 1200" in relay("import", "--data", alone, typed=text)
    moved = relay("export", "--data", alone)
    assert "1200 of 1200" in relay("import", "--data", key, "--store", store, typed=moved)
    again = relay("export", "--data", key, "--store", store)
    assert again == text
    assert "1200 of 1200" in relay("import", "--data", back, typed=again)
    assert relay("export", "--data", back) == text
    counted = json.loads(relay("stats", "--store", store, "--json"))
    assert (counted["events"], counted["free_bytes"]) == (1200, None)
    assert "1,200 events" in relay("stats", "--store", store)
    assert "1200 events, all sound" in relay("verify", "--data", key, "--store", store)
    postgres.sql(f"UPDATE {store.rpartition('=')[2]}.events SET kind = 7 WHERE number = 8")
    assert "columns differ from their event (entry 8)" in relay(
        "verify", "--data", key, "--store", store, code=1
    )


async def test_the_relays_of_the_store_run_on(postgres: Postgres, tmp_path: Path) -> None:
    store, text, beside = postgres.new_store(), lines(3), tmp_path / "beside"
    beside.mkdir()
    there = ("--data", str(beside), "--store", store)
    running = new_relay(tmp_path / "running", store, "")
    await running.start()
    try:
        subscriber = Subscriber(running.url)
        reading = asyncio.create_task(subscriber.run())
        await subscriber.ready.wait()
        shutil.copy(running.folder / KEY_FILE, beside)
        assert "3 of 3" in await asyncio.to_thread(relay, "import", *there, typed=text)
        await subscriber.saw([json.loads(line)["id"] for line in text.splitlines()])
        assert await asyncio.to_thread(relay, "export", *there) == text
        other = ("--data", str(tmp_path / "other"), "--store", postgres.new_store())
        report = await asyncio.to_thread(relay, "sync", running.url, *other, "--json")
        assert json.loads(report)["fetched"] == 3
        sound = await asyncio.to_thread(relay, "verify", *there, "--json")
        assert json.loads(sound) == {
            "sound": True,
            "events": 3,
            "searched": 3,
            "problems": {},
            "told": [],
        }
        exported = await asyncio.to_thread(relay, "export", *other)
        assert sorted(exported.splitlines()) == sorted(text.splitlines())
        with pytest.raises(RelayError, match="Stop it"):
            await asyncio.to_thread(
                relay, "export", "--data", str(running.folder), "--store", store
            )
        reading.cancel()
    finally:
        await running.stop()


def test_what_cannot_be_done_is_said(postgres: Postgres, tmp_path: Path) -> None:
    store = postgres.new_store()
    relay("import", "--data", str(tmp_path / "first"), "--store", store, typed=lines(1))
    with pytest.raises(RelayError, match="another key"):
        relay("export", "--data", str(tmp_path / "other"), "--store", store)
    with pytest.raises(RelayError, match="cannot be reached"):
        relay("export", "--data", str(tmp_path / "x"), "--store", "postgresql:///no?host=/nowhere")
    with pytest.raises(RelayError, match="another key"):
        relay("verify", "--data", str(tmp_path / "other"), "--store", store)
    with pytest.raises(RelayError, match="cannot be reached"):
        relay("stats", "--store", "postgresql:///no?host=/nowhere")
    with pytest.raises(RelayError, match="postgresql://host/database"):
        relay("stats", "--store", "mysql://host/no")
    with pytest.raises(RelayError, match="postgresql://host/database"):
        relay("export", "--data", str(tmp_path / "x"), "--store", "mysql://host/no")

"""What has left a relay is gone from its disk, looked at in the raw files."""

from __future__ import annotations

import asyncio
import hashlib

import httpx
import pytest
from tests.relay.conftest import NOW, Clock, Person
from tests.relay.test_blossom import token, upload

from volok.native import NativeCrypto
from volok.relay.backends import for_a_server
from volok.relay.metrics import Metrics
from volok.relay.run import run_relay
from volok.relay.settings import DAY, RelaySettings
from volok.store.file_seal import FileSeal

LINE = b"what nobody may find on the disk; "
DATA = LINE * 9_000
NAME = hashlib.sha256(DATA).hexdigest()
PERSON = Person(bytes([1]) * 32)
SEAL = FileSeal(NativeCrypto(), bytes(range(32)))


def raw(folder):
    """All bytes of all files, and the names of these."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return b"\n".join(path.name.encode() + b"\n" + path.read_bytes() for path in paths)


@pytest.fixture(params=["plain", "sealed"])
async def running(request, tmp_path):
    """A relay over a folder: its folder, its clock, its counters, and a client."""
    backends = for_a_server(bytes(range(1, 33)), SEAL) if request.param == "sealed" else None
    clock, metrics = Clock(), Metrics()
    settings = RelaySettings(sweep_seconds=0.02, blob_days=2, unfinished_seconds=60)
    folder = tmp_path / "relay"
    async with (
        run_relay(
            *("127.0.0.1", 0, folder, settings, NativeCrypto(), clock, metrics), backends=backends
        ) as address,
        httpx.AsyncClient(base_url=address.http_url) as http,
    ):
        yield folder, clock, metrics, http
    assert metrics.failures == 0


def witnesses(folder, tmp_path):
    """Second names of the files of blobs, which keep in sight what these become."""
    found = []
    for path in (folder / "blobs").rglob("*"):
        if path.is_file():
            found.append(tmp_path / f"witness-{len(found)}")
            found[-1].hardlink_to(path)
    return found


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def gone(folder, kept):
    content = raw(folder)
    assert LINE not in content
    assert NAME.encode() not in content
    assert bytes.fromhex(NAME) not in content
    assert kept
    for witness in kept:
        assert LINE not in witness.read_bytes()


async def test_an_expired_blob(running, tmp_path):
    folder, clock, metrics, http = running
    assert (await upload(http, PERSON, DATA)).status_code == 201
    kept = witnesses(folder, tmp_path)
    clock.now = NOW + 2 * DAY + 1
    await until(lambda: metrics.blobs_expired == 1)
    gone(folder, kept)
    assert all(not any(witness.read_bytes()) for witness in kept)


async def test_a_deleted_blob(running, tmp_path):
    folder, _, _, http = running
    await upload(http, PERSON, DATA)
    kept = witnesses(folder, tmp_path)
    headers = token(PERSON, "delete", blob=NAME)
    assert (await http.delete(f"/{NAME}", headers=headers)).status_code == 204
    gone(folder, kept)
    assert all(not any(witness.read_bytes()) for witness in kept)


async def test_an_upload_in_parts_that_was_given_up(running, tmp_path):
    folder, clock, metrics, http = running
    part = {"Upload-Offset": "0", "Upload-Length": str(len(DATA))}
    headers = token(PERSON, blob=NAME) | part
    answer = await http.patch(f"/{NAME}", content=DATA[:100_000], headers=headers)
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, "100000")
    kept = witnesses(folder, tmp_path)
    clock.now = NOW + 120
    await until(lambda: metrics.uploads_abandoned == 1)
    gone(folder, kept)


async def test_an_upload_that_was_refused(running):
    folder, _, _, http = running
    headers = token(PERSON, blob="00" * 32)
    assert (await http.put("/upload", content=DATA, headers=headers)).status_code == 409
    assert LINE not in raw(folder)


async def test_an_upload_in_parts_that_was_completed_leaves_one_copy(running, tmp_path):
    folder, _, _, http = running
    for start in (0, 150_000):
        data = DATA[start : start + 150_000] if start == 0 else DATA[start:]
        part = {"Upload-Offset": str(start), "Upload-Length": str(len(DATA))}
        headers = token(PERSON, blob=NAME) | part
        answer = await http.patch(f"/{NAME}", content=data, headers=headers)
    assert answer.status_code == 201
    assert (await http.get(f"/{NAME}")).content == DATA
    kept = witnesses(folder, tmp_path)
    assert len(kept) == 1
    await http.delete(f"/{NAME}", headers=token(PERSON, "delete", blob=NAME))
    gone(folder, kept)


async def test_under_a_seal_the_disk_says_nothing_of_what_is_there(running):
    folder, _, _, http = running
    await upload(http, PERSON, DATA)
    content = raw(folder)
    if _plain(running):
        assert LINE in content
    else:
        assert LINE not in content
        assert NAME.encode() not in content
        assert bytes.fromhex(NAME) not in content


def _plain(running):
    return b"volokB1" not in raw(running[0])


def test_a_sweep_comes_in_time():
    """A minute is promised; the rest of it is for the sweep itself."""
    assert RelaySettings().sweep_seconds <= 30

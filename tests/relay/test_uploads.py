"""Who brought which blob, across restarts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volok.native import NativeCrypto
from volok.relay.uploads import MAX_OWNERS, Uploads
from volok.store.blobs import BlobError
from volok.store.file_seal import FileSeal

ONE, TWO = "aa" * 32, "bb" * 32
ANNA, BORIS = "01" * 32, "02" * 32


async def test_records_survive_a_restart_and_are_erased_in_place(tmp_path):
    path = tmp_path / "uploads"
    uploads = Uploads(path)
    await uploads.record(ONE, ANNA, 100)
    await uploads.record(TWO, ANNA, 200)
    await uploads.record(TWO, BORIS, 300)
    uploads.close()
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"torn")

    uploads = Uploads(path)
    assert uploads.time(ONE) == 100
    assert uploads.older_than(300) == [ONE]
    with pytest.raises(KeyError):
        await uploads.disown(ONE, BORIS)
    assert await uploads.disown(TWO, ANNA) is False
    assert await uploads.disown(TWO, BORIS) is True
    assert bytes.fromhex(TWO) not in path.read_bytes()
    await uploads.forget(ONE)
    assert not any(path.read_bytes()[:size])
    await uploads.record(ONE, ANNA, 400)
    uploads.close()
    assert path.stat().st_size <= size + 4
    assert Uploads(path).time(ONE) == 400


async def test_the_file_names_no_key_and_links_no_uploads(tmp_path):
    uploads = Uploads(tmp_path / "uploads")
    await uploads.record(ONE, ANNA, 100)
    await uploads.record(TWO, ANNA, 100)
    uploads.close()
    data = (tmp_path / "uploads").read_bytes()
    assert bytes.fromhex(ANNA) not in data
    records = [data[start : start + 56] for start in (0, 56)]
    assert records[0][32:48] != records[1][32:48]


async def test_owners_are_bounded():
    uploads = Uploads(None)
    for number in range(MAX_OWNERS + 1):
        await uploads.record(ONE, f"{number:064x}", number)
    with pytest.raises(KeyError):
        await uploads.disown(ONE, f"{MAX_OWNERS:064x}")
    assert uploads.time(ONE) == MAX_OWNERS


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=300))
async def test_any_file_can_be_opened(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("uploads") / "uploads"
    path.write_bytes(data)
    uploads = Uploads(path)
    await uploads.record(ONE, ANNA, 100)
    uploads.close()
    assert Uploads(path).time(ONE) is not None


async def test_under_a_seal_the_file_says_nothing(tmp_path):
    path, seal = tmp_path / "uploads", FileSeal(NativeCrypto(), bytes(32))
    uploads = Uploads(path, seal)
    for name, time in ((ONE, 100), (TWO, 200)):
        await uploads.record(name, ANNA, time)
        assert bytes.fromhex(name) not in path.read_bytes()
    uploads.close()
    with path.open("ab") as file:  # one that is torn
        file.write(bytes([1]) * 84)

    uploads = Uploads(path, seal)
    assert (uploads.time(ONE), uploads.time(TWO)) == (100, 200)
    assert await uploads.disown(ONE, ANNA) is True
    await uploads.record(ONE, BORIS, 300)
    await uploads.record(ONE, ANNA, 400)
    uploads.close()
    assert path.stat().st_size == 3 * 84
    again = Uploads(path, seal)
    assert (again.time(ONE), again.time(TWO)) == (400, 200)
    again.close()
    with pytest.raises(BlobError):
        Uploads(path, FileSeal(NativeCrypto(), bytes([1]) * 32))


async def test_while_the_last_owner_is_forgotten_the_blob_is_not_old(tmp_path, monkeypatch):
    uploads = Uploads(tmp_path / "uploads")
    await uploads.record(ONE, ANNA, 100)
    seen = []

    async def write(slot, plain):
        seen.append(uploads.older_than(50))

    monkeypatch.setattr(uploads, "_write", write)
    assert await uploads.disown(ONE, ANNA)
    assert seen == [[]]
    uploads.close()


async def test_what_is_brought_again_while_it_is_swept_is_not_forgotten(tmp_path):
    path = tmp_path / "uploads"
    uploads = Uploads(path)
    await uploads.record(ONE, ANNA, 100)
    await uploads.record(ONE, BORIS, 300)
    await uploads.forget(ONE, before=200)
    assert uploads.time(ONE) == 300
    uploads.close()
    uploads = Uploads(path)
    with pytest.raises(KeyError):
        await uploads.disown(ONE, ANNA)
    assert await uploads.disown(ONE, BORIS)
    uploads.close()

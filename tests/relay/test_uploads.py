"""Who brought which blob, across restarts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volok.relay.uploads import MAX_OWNERS, Uploads

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

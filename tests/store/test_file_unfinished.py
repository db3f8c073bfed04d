"""Blobs on their way, on a real disk: what arrived stays, and nothing else is believed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volok.store.blobs import BlobMismatch, BlobTooLarge, OutOfPlace
from volok.store.file_blobs import FileBlobs

DATA = bytes(range(256)) * 40
NAME = sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path)


async def pieces(data: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]
    if error is not None:
        raise error


async def test_what_arrived_stays_when_the_rest_does_not_come(
    blobs: FileBlobs, tmp_path: Path
) -> None:
    with pytest.raises(ConnectionError):
        await blobs.unfinished.extend("a", 0, pieces(DATA[:5000], ConnectionError()), len(DATA))
    assert await blobs.unfinished.size("a") == 5000
    again = FileBlobs(tmp_path)
    assert await again.unfinished.extend("a", 4000, pieces(DATA[4000:]), len(DATA)) == len(DATA)
    assert await again.names() == []
    assert await again.complete("a", NAME) == len(DATA)
    assert await again.get(NAME) == DATA
    assert await again.unfinished.size("a") == 0
    assert list((tmp_path / "unfinished").iterdir()) == []


async def test_what_is_another_blob_goes(blobs: FileBlobs, tmp_path: Path) -> None:
    await blobs.unfinished.extend("a", 0, pieces(b"!" + DATA[1:]), len(DATA))
    with pytest.raises(BlobMismatch):
        await blobs.complete("a", NAME)
    assert await blobs.names() == []
    assert list((tmp_path / "unfinished").iterdir()) == []


async def test_an_empty_blob(blobs: FileBlobs) -> None:
    assert await blobs.complete("a", sha256().hexdigest()) == 0


async def test_gaps_and_limits(blobs: FileBlobs) -> None:
    await blobs.unfinished.extend("a", 0, pieces(DATA[:100]), len(DATA))
    with pytest.raises(OutOfPlace):
        await blobs.unfinished.extend("a", 101, pieces(DATA[101:]), len(DATA))
    with pytest.raises(BlobTooLarge):
        await blobs.unfinished.extend("a", 100, pieces(DATA), len(DATA))
    assert await blobs.unfinished.size("a") == 100


async def test_only_what_is_wanted_is_kept(blobs: FileBlobs, tmp_path: Path) -> None:
    for key in ("a", "b"):
        await blobs.unfinished.extend(key, 0, pieces(DATA), len(DATA))
    await blobs.unfinished.keep_only(["b"])
    assert await blobs.unfinished.size("a") == 0
    assert await blobs.unfinished.size("b") == len(DATA)
    await blobs.unfinished.discard("b")
    await blobs.unfinished.discard("b")
    assert list((tmp_path / "unfinished").iterdir()) == []
    assert not any(NAME in path.name or path.name in "ab" for path in tmp_path.iterdir())


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 1500)), max_size=12))
@settings(max_examples=25, deadline=None)
async def test_parts_in_any_order_leave_a_true_beginning(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, int]]
) -> None:
    blobs = FileBlobs(tmp_path_factory.mktemp("blobs"))
    here = 0
    for start, length in parts:
        part = DATA[start : start + length]
        if start > here:
            with pytest.raises(OutOfPlace):
                await blobs.unfinished.extend("a", start, pieces(part), len(DATA))
        else:
            here = max(here, start + len(part))
            assert await blobs.unfinished.extend("a", start, pieces(part), len(DATA)) == here
    assert await blobs.complete("a", sha256(DATA[:here]).hexdigest()) == here

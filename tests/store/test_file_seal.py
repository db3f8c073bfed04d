"""Blobs under a seal: nothing of them can be read from the disk, everything with the key."""

from __future__ import annotations

import asyncio
import os
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store.test_file_blobs import files, joined, pieces

from volok.native import NativeCrypto
from volok.store.blobs import (
    BlobError,
    BlobMismatch,
    BlobMissing,
    BlobTooLarge,
    OutOfPlace,
)
from volok.store.file_blobs import FileBlobs
from volok.store.file_seal import HEAD, PIECE, TAG, FileSeal, plain_size

OLD_STATES = Path(__file__).parents[1] / "old_states"
SEAL = FileSeal(NativeCrypto(), bytes(range(32)))
OTHER = FileSeal(NativeCrypto(), bytes(32))
DATA = b"a line that would be found on the disk " * 5_000
NAME = sha256(DATA).hexdigest()
SIZES = [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 5]


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path, SEAL)


@pytest.mark.parametrize("size", SIZES)
async def test_what_goes_in_comes_out(blobs: FileBlobs, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    name = sha256(data).hexdigest()
    assert await blobs.put(pieces(data, 50_000), name, size) == (name, size)
    assert await blobs.get(name) == await joined(blobs.read(name)) == data
    assert await blobs.size(name) == size
    again = FileBlobs(tmp_path, SEAL)
    assert await again.names() == [name]
    assert await again.get(name) == data
    assert await again.delete(name)
    assert files(tmp_path) == {}


async def test_the_disk_says_nothing(blobs: FileBlobs, tmp_path: Path) -> None:
    await blobs.put(DATA)
    ((path, raw),) = files(tmp_path).items()
    assert NAME not in path
    assert bytes.fromhex(NAME) not in raw
    assert b"a line" not in raw
    assert len(raw) == HEAD + len(DATA) + TAG * -(-len(DATA) // PIECE)


async def test_without_the_key_there_is_nothing(blobs: FileBlobs, tmp_path: Path) -> None:
    await blobs.put(DATA)
    other = FileBlobs(tmp_path, OTHER)
    assert not await other.has(NAME)
    with pytest.raises(BlobMissing):
        await other.get(NAME)
    with pytest.raises(BlobError):
        await other.names()
    assert await FileBlobs(tmp_path, SEAL).get(NAME) == DATA


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> FileBlobs:
    blobs = FileBlobs(tmp_path_factory.mktemp("filled"), SEAL)
    asyncio.run(blobs.put(DATA))
    return blobs


@given(st.integers(0, len(DATA) + 5), st.none() | st.integers(0, len(DATA) + 5))
def test_ranges(filled: FileBlobs, start: int, length: int | None) -> None:
    parts = asyncio.run(collect(filled, start, length))
    assert b"".join(parts) == DATA[start : None if length is None else start + length]
    assert all(0 < len(part) <= PIECE for part in parts)


async def collect(blobs: FileBlobs, start: int, length: int | None) -> list[bytes]:
    return [part async for part in blobs.read(NAME, start, length)]


async def test_nothing_is_kept_of_what_is_refused(blobs: FileBlobs, tmp_path: Path) -> None:
    with pytest.raises(BlobMismatch):
        await blobs.put(DATA, "00" * 32)
    with pytest.raises(BlobTooLarge):
        await blobs.put(pieces(DATA), NAME, len(DATA) - 1)
    assert files(tmp_path) == {}


@pytest.mark.parametrize("place", [0, 20, 50, HEAD, HEAD + 1000, -1])
async def test_what_was_altered_is_not_given_out(
    blobs: FileBlobs, tmp_path: Path, place: int
) -> None:
    await blobs.put(DATA)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)
    with pytest.raises(BlobError):
        await blobs.get(NAME)


async def test_what_was_cut_off_or_moved_is_not_given_out(blobs: FileBlobs, tmp_path: Path) -> None:
    await blobs.put(DATA)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    raw, sealed = path.read_bytes(), PIECE + TAG
    swapped = raw[HEAD + sealed : HEAD + 2 * sealed] + raw[HEAD : HEAD + sealed]
    for wrong in (
        raw[: HEAD + sealed],
        raw[: HEAD + 5],
        raw[:HEAD][:-1],
        b"",
        raw[:HEAD] + swapped + raw[HEAD + 2 * sealed :],
    ):
        path.write_bytes(wrong)
        with pytest.raises(BlobError):
            await blobs.get(NAME)


async def test_an_erased_head_is_an_erased_blob(blobs: FileBlobs, tmp_path: Path) -> None:
    await blobs.put(DATA)
    witness = tmp_path.parent / f"{tmp_path.name}.witness"
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    witness.hardlink_to(path)
    size = path.stat().st_size
    assert await blobs.delete(NAME)
    assert witness.read_bytes() == bytes(size)


async def test_uploads_in_parts(blobs: FileBlobs, tmp_path: Path) -> None:
    unfinished = blobs.unfinished
    half = len(DATA) // 2
    assert await unfinished.extend("key", 0, pieces(DATA[:half]), len(DATA)) == half
    assert await unfinished.size("key") == half
    with pytest.raises(OutOfPlace):
        await unfinished.extend("key", half + 1, pieces(b"x"), len(DATA))
    assert all(b"a line" not in raw for raw in files(tmp_path).values())
    # Bytes that are here already are passed over.
    assert await unfinished.extend("key", 10, pieces(DATA[10:]), len(DATA)) == len(DATA)
    assert await blobs.complete("key", NAME) == len(DATA)
    assert await blobs.get(NAME) == DATA
    assert await unfinished.size("key") == 0
    await unfinished.extend("wrong", 0, pieces(b"other"), 100)
    with pytest.raises(BlobMismatch):
        await blobs.complete("wrong", NAME)
    assert await unfinished.size("wrong") == 0
    assert len(files(tmp_path)) == 1


async def test_unfinished_uploads_do_not_outlive_their_key(
    blobs: FileBlobs, tmp_path: Path
) -> None:
    await blobs.unfinished.extend("key", 0, pieces(DATA), len(DATA))
    assert files(tmp_path)
    again = FileBlobs(tmp_path, SEAL)
    assert files(tmp_path) == {}
    assert await again.unfinished.size("key") == 0


async def test_an_empty_upload_in_parts(blobs: FileBlobs) -> None:
    name = sha256().hexdigest()
    assert await blobs.complete("key", name) == 0
    assert await blobs.get(name) == b""


async def test_the_first_version_loads(tmp_path: Path) -> None:
    # The folder holds one blob of 70,000 bytes, sealed under SEAL.
    data = b"volok" * 14_000
    blobs = FileBlobs(copied(OLD_STATES / "blobs_v1", tmp_path), SEAL)
    assert await blobs.names() == [sha256(data).hexdigest()]
    assert await blobs.get(sha256(data).hexdigest()) == data


def copied(source: Path, target: Path) -> Path:
    for path in source.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    return target


def test_records_of_one_purpose_are_none_of_another() -> None:
    sealed = SEAL.seal_record(b"plain", b"one")
    assert SEAL.open_record(sealed, b"one") == b"plain"
    for seal, purpose, wrong in (
        (SEAL, b"two", sealed),
        (OTHER, b"one", sealed),
        (SEAL, b"one", sealed[:-1]),
        (SEAL, b"one", b""),
    ):
        with pytest.raises(BlobError):
            seal.open_record(wrong, purpose)
    assert "key" not in repr(SEAL)


@given(st.integers(0, 10 * PIECE))
def test_sizes(size: int) -> None:
    count = -(-size // PIECE)
    assert plain_size(HEAD + size + count * TAG) == size


@pytest.mark.parametrize("size", [0, HEAD - 1, HEAD + 1, HEAD + TAG, HEAD + PIECE + TAG + 5])
def test_no_file_has_these_sizes(size: int) -> None:
    with pytest.raises(BlobError):
        plain_size(size)

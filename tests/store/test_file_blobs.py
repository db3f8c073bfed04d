"""Blobs on a real disk (BUD-00): whole or absent, gone when deleted, each error stated."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.store.blobs import BlobError, BlobMismatch, BlobMissing, BlobsFull, BlobTooLarge
from volok.store.file_blobs import PIECE, FileBlobs

DATA = bytes(range(256)) * 1000
NAME = sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path)


async def pieces(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def joined(parts: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in parts])


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


async def test_put_and_get(blobs: FileBlobs, tmp_path: Path) -> None:
    assert await blobs.put(DATA) == (NAME, len(DATA))
    assert files(tmp_path) == {f"{NAME[:2]}/{NAME[2:4]}/{NAME}": DATA}
    assert await blobs.has(NAME)
    assert await blobs.size(NAME) == len(DATA)
    assert await blobs.get(NAME) == DATA
    assert await blobs.names() == [NAME]


async def test_put_in_pieces_and_again(blobs: FileBlobs, tmp_path: Path) -> None:
    large = DATA * 12
    for _ in range(2):
        assert await blobs.put(pieces(large), sha256(large).hexdigest()) == (
            sha256(large).hexdigest(),
            len(large),
        )
    assert list(files(tmp_path).values()) == [large]
    assert await blobs.put(b"") == (sha256().hexdigest(), 0)
    assert await blobs.get(sha256().hexdigest()) == b""


async def test_many_at_once(blobs: FileBlobs, tmp_path: Path) -> None:
    await asyncio.gather(*(blobs.put(bytes([n % 5]) * 1000) for n in range(20)))
    assert len(files(tmp_path)) == len(await blobs.names()) == 5


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> FileBlobs:
    blobs = FileBlobs(tmp_path_factory.mktemp("filled"))
    asyncio.run(blobs.put(DATA))
    return blobs


@given(st.integers(0, len(DATA) + 5), st.none() | st.integers(0, len(DATA) + 5))
def test_ranges(filled: FileBlobs, start: int, length: int | None) -> None:
    async def read() -> list[bytes]:
        return [part async for part in filled.read(NAME, start, length)]

    parts = asyncio.run(read())
    assert b"".join(parts) == DATA[start : None if length is None else start + length]
    assert all(0 < len(part) <= PIECE for part in parts)


@pytest.mark.parametrize(
    ("expected", "limit", "error"),
    [
        ("00" * 32, None, BlobMismatch),
        ("nonsense", None, BlobMismatch),
        (NAME, len(DATA) - 1, BlobTooLarge),
        (None, 0, BlobTooLarge),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_is_kept_of_what_is_refused(
    blobs: FileBlobs,
    tmp_path: Path,
    expected: str | None,
    limit: int | None,
    error: type[BlobError],
    stream: bool,
) -> None:
    with pytest.raises(error):
        await blobs.put(pieces(DATA) if stream else DATA, expected, limit)
    assert files(tmp_path) == {}
    assert await blobs.put(DATA, NAME, len(DATA)) == (NAME, len(DATA))


async def test_a_source_that_fails_or_is_cancelled(blobs: FileBlobs, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def broken() -> AsyncIterator[bytes]:
        yield DATA * 9
        raise ConnectionResetError

    async def endless() -> AsyncIterator[bytes]:
        yield DATA * 9
        begun.set()
        await asyncio.Event().wait()

    with pytest.raises(ConnectionResetError):
        await blobs.put(broken())
    putting = asyncio.create_task(blobs.put(endless()))
    await begun.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert files(tmp_path) == {}


@pytest.mark.parametrize("name", ["00" * 32, "", "..", "../" * 3, NAME.upper(), NAME + "\n", "é"])
async def test_what_is_not_here(blobs: FileBlobs, name: str) -> None:
    await blobs.put(DATA)
    assert not await blobs.has(name)
    assert not await blobs.delete(name)
    for call in (blobs.size(name), blobs.get(name), joined(blobs.read(name))):
        with pytest.raises(BlobMissing):
            await call


async def test_deleted_it_is_overwritten(blobs: FileBlobs, tmp_path: Path) -> None:
    await blobs.put(DATA)
    # A second name keeps what the file became in sight.
    witness = tmp_path.parent / f"{tmp_path.name}.witness"
    witness.hardlink_to(tmp_path / NAME[:2] / NAME[2:4] / NAME)
    assert await blobs.delete(NAME)
    assert not await blobs.delete(NAME)
    assert files(tmp_path) == {}
    assert witness.read_bytes() == bytes(len(DATA))
    assert await blobs.names() == []


async def test_deleted_while_being_read(blobs: FileBlobs) -> None:
    await blobs.put(DATA)
    parts = blobs.read(NAME)
    got = await anext(parts)
    await blobs.delete(NAME)
    with pytest.raises(BlobMissing):
        await anext(parts)
    assert DATA.startswith(got)


async def test_leftovers_of_a_crash_are_erased_at_start(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    await blobs.put(DATA)
    leftover = tmp_path / "incoming" / "tmpabc"
    leftover.write_bytes(DATA)
    witness = tmp_path.parent / f"{tmp_path.name}.witness"
    witness.hardlink_to(leftover)
    blobs = FileBlobs(tmp_path)
    assert list(files(tmp_path).values()) == [DATA]
    assert witness.read_bytes() == bytes(len(DATA))
    assert await blobs.get(NAME) == DATA


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, BlobsFull), (errno.EDQUOT, BlobsFull), (errno.EIO, BlobError)],
)
@pytest.mark.parametrize("call", ["write", "fsync"])
async def test_errors_of_the_disk(
    blobs: FileBlobs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error: type[BlobError],
    call: str,
) -> None:
    original: Callable[..., object] = getattr(os, call)
    failures = [OSError(number, os.strerror(number))]

    def failing(*arguments: object) -> object:
        if failures:
            raise failures.pop()
        return original(*arguments)

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(BlobError) as caught:
        await blobs.put(DATA)
    assert type(caught.value) is error
    assert files(tmp_path) == {}
    assert await blobs.put(DATA) == (NAME, len(DATA))


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BlobError):
        FileBlobs(tmp_path / "file")

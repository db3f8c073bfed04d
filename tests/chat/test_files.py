"""Files as encrypted chunks."""

from pathlib import Path

import pytest

from volok.chat.content import parse_content
from volok.chat.files import CHUNK, FileGone, encrypt_chunk, file_body, read_file, store_file
from volok.chat.views import FileKind, Outgoing
from volok.native import NativeCrypto
from volok.store.file_blobs import FileBlobs

CRYPTO = NativeCrypto()


@pytest.mark.parametrize("size", [0, 1, 1024, CHUNK, CHUNK + 1, 3 * CHUNK - 5])
async def test_round_trip(tmp_path: Path, size: int) -> None:
    blobs = FileBlobs(tmp_path)
    data = bytes(i % 251 for i in range(size))
    stored = await store_file(CRYPTO, blobs, Outgoing("a.bin", "x/y", data, FileKind.FILE))
    names = [chunk.name for chunk in stored.chunks]
    assert len(names) == max(1, -(-size // CHUNK))
    pieces = [p async for p in read_file(CRYPTO, blobs, stored.key, names, stored.size)]
    assert b"".join(pieces) == data
    content = parse_content({"type": "text", "text": "", "n": 1, "files": [file_body(stored)]})
    assert content.files == (stored,)  # type: ignore[union-attr]


async def test_chunks_cannot_be_exchanged_or_missing(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    stored = await store_file(CRYPTO, blobs, Outgoing("a", "x/y", bytes(2 * CHUNK)))
    first, second = [chunk.name for chunk in stored.chunks]
    for names in ([second, first], [first], [first, "00" * 32]):
        with pytest.raises(FileGone):
            _ = [p async for p in read_file(CRYPTO, blobs, stored.key, names, stored.size)]


def test_sizes_fall_into_few_classes() -> None:
    lengths = range(0, 200_000, 499)
    sealed = [len(encrypt_chunk(CRYPTO, bytes(32), 0, 1, bytes(n))) - 16 for n in lengths]
    for length, size in zip(lengths, sealed, strict=True):
        assert length <= size <= max(1024, length * 1.12)
    assert len(set(sealed)) < len(sealed) / 2

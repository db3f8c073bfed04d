"""Blobs in a bucket of a real S3 service (moto's server), with checked signatures."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from tests.paths.drop_servers import BUCKET, S3Service, s3_service

from volok.store.blobs import BlobError, BlobMismatch, BlobMissing, BlobTooLarge
from volok.store.s3_blobs import PIECE, S3Blobs, bucket_path, s3_file_system

DATA = os.urandom(3_000_000)
NAME = sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def service() -> Iterator[S3Service]:
    with s3_service() as running:
        yield running


def environment(service: S3Service, **changes: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": service.endpoint,
        "AWS_ACCESS_KEY_ID": service.key,
        "AWS_SECRET_ACCESS_KEY": service.secret,
        **changes,
    }


def blobs_of(service: S3Service, folder: Path, prefix: str = "blobs", **changes: str) -> S3Blobs:
    files = s3_file_system(environment(service, **changes))
    return S3Blobs(files, bucket_path(f"s3://{BUCKET}/{prefix}/"), folder, os.urandom)


async def pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def test_whole_ranges_and_gone(service: S3Service, tmp_path: Path) -> None:
    blobs = blobs_of(service, tmp_path, "whole")
    assert await blobs.put(pieces(DATA), NAME, len(DATA)) == (NAME, len(DATA))
    assert await blobs.put(b"") == (sha256().hexdigest(), 0)
    assert await blobs.has(NAME)
    assert await blobs.size(NAME) == len(DATA)
    assert await blobs.get(NAME) == DATA
    assert await blobs.get(sha256().hexdigest()) == b""
    for start, length in ((0, 1), (PIECE - 1, 2), (1_048_575, 2), (2_999_999, 5), (5, 2_500_000)):
        got = [piece async for piece in blobs.read(NAME, start, length)]
        assert b"".join(got) == DATA[start : start + length]
        assert max(map(len, got)) <= PIECE
    assert await blobs.names() == sorted([NAME, sha256().hexdigest()])
    stored = service.client.list_objects_v2(Bucket=BUCKET, Prefix="whole/")["Contents"]  # type: ignore[attr-defined]
    assert {one["Key"] for one in stored} == {f"whole/{name}" for name in await blobs.names()}
    assert await blobs.delete(NAME)
    assert not await blobs.delete(NAME)
    assert not await blobs.has(NAME)
    with pytest.raises(BlobMissing):
        await blobs.get(NAME)
    assert not any(path.is_file() for path in tmp_path.rglob("*")), "a local copy stayed"


async def test_two_relays_share_a_bucket(service: S3Service, tmp_path: Path) -> None:
    one, other = (blobs_of(service, tmp_path / name, "shared") for name in "ab")
    name, _ = await one.put(b"from one")
    assert await other.get(name) == b"from one"
    assert await other.delete(name)
    assert not await one.has(name)


async def test_what_is_wrong_is_not_kept(service: S3Service, tmp_path: Path) -> None:
    blobs = blobs_of(service, tmp_path, "wrong")
    with pytest.raises(BlobMismatch):
        await blobs.put(b"other bytes", NAME)
    with pytest.raises(BlobTooLarge):
        await blobs.put(pieces(DATA), NAME, len(DATA) - 1)
    for name in ("../x", "", NAME.upper(), NAME + "/"):
        with pytest.raises(BlobMissing):
            await blobs.size(name)
    assert await blobs.names() == []
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


async def test_parts_are_completed(service: S3Service, tmp_path: Path) -> None:
    blobs = blobs_of(service, tmp_path, "parts")
    await blobs.unfinished.extend("key", 0, pieces(DATA[:1_000_000]), len(DATA))
    assert await blobs.unfinished.size("key") == 1_000_000
    await blobs.unfinished.extend("key", 1_000_000, pieces(DATA[1_000_000:]), len(DATA))
    assert await blobs.complete("key", NAME) == len(DATA)
    assert await blobs.get(NAME) == DATA
    await blobs.unfinished.extend("key", 0, pieces(b"wrong"), 100)
    with pytest.raises(BlobMismatch):
        await blobs.complete("key", NAME)
    assert await blobs.unfinished.size("key") == 0


async def test_storage_that_refuses_is_an_error(service: S3Service, tmp_path: Path) -> None:
    blobs = blobs_of(service, tmp_path, AWS_SECRET_ACCESS_KEY="wrong")
    with pytest.raises(BlobError):
        await blobs.put(b"data")
    gone = S3Blobs(s3_file_system(environment(service)), "no-such-bucket/x", tmp_path, os.urandom)
    with pytest.raises(BlobError):
        await gone.put(b"data")
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("url", ["s3:///x", "https://bucket", "bucket", "s3://a:b@bucket/x"])
def test_what_is_no_bucket(url: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket"):
        bucket_path(url)

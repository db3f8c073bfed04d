"""What every drop does, over a real folder and real servers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.paths.drop_servers import (
    BUCKET,
    PASSWORD,
    USER,
    S3Service,
    s3_service,
    sftp_server,
    webdav_server,
)

from volok.paths.calls import CallSettings
from volok.paths.direct import DirectPath
from volok.paths.drop import (
    Drop,
    DropConfused,
    DropError,
    DropGone,
    DropRefused,
    FileMissing,
    drop_name,
    is_drop_name,
)
from volok.paths.folder import FolderDrop
from volok.paths.names import Names
from volok.paths.s3 import S3Drop, S3Place, S3Settings
from volok.paths.sftp import SftpDrop, SftpPlace
from volok.paths.webdav import WebDavDrop, WebDavSettings

DATA = random.Random(1).randbytes(200_000)


def name(number: int) -> str:
    """The name of a file."""
    return drop_name(number.to_bytes(16, "big"))


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Service]:
    """One service for the module: it takes a while to start."""
    with s3_service() as service:
        yield service


@pytest.fixture
async def path() -> AsyncIterator[DirectPath]:
    """What carries calls to servers."""
    path = DirectPath()
    yield path
    await path.close()


@pytest.fixture(params=["folder", "webdav", "s3", "sftp"])
async def drop(
    request: pytest.FixtureRequest, tmp_path: Path, path: DirectPath
) -> AsyncIterator[Drop]:
    """An empty drop of each kind."""
    if request.param == "folder":
        made: Drop = FolderDrop(tmp_path, time.time)
        yield made
        await made.close()
    elif request.param == "webdav":
        (tmp_path / "über uns").mkdir()
        with webdav_server(tmp_path) as url:
            yield WebDavDrop(path, f"{url}/%C3%BCber%20uns", USER, PASSWORD)
    elif request.param == "sftp":
        (tmp_path / "über uns").mkdir()
        async with sftp_server(tmp_path) as server:
            login = SftpPlace(
                *("127.0.0.1", server.port, "/über uns", USER, PASSWORD, "", server.host_key)
            )
            made = SftpDrop(login, Names().dial, time.time)
            yield made
            await made.close()
    else:
        yield S3Drop(path, place(request.getfixturevalue("s3"), tmp_path.name), time.time)


def place(service: S3Service, prefix: str) -> S3Place:
    """A part of the bucket of its own."""
    return S3Place(service.endpoint, BUCKET, service.key, service.secret, prefix=f"{prefix} +ä/")


async def listed(drop: Drop) -> dict[str, int]:
    """Names and sizes."""
    return {file.name: file.size for file in await drop.list()}


async def test_files_are_left_found_read_and_removed(drop: Drop) -> None:
    assert await listed(drop) == {}
    await drop.put(name(1), DATA)
    await drop.put(name(2), b"second")
    files = {file.name: file for file in await drop.list()}
    assert {each: file.size for each, file in files.items()} == {name(1): len(DATA), name(2): 6}
    assert all(abs((file.time or 0) - time.time()) < 90_000 for file in files.values())
    assert await drop.get(name(1), len(DATA)) == DATA
    assert await drop.get(name(1), 10) == DATA[:10]
    assert await drop.get(name(2), 1000) == b"second"
    await drop.put(name(2), b"again")
    assert await drop.get(name(2), 1000) == b"again"
    await drop.delete(name(1))
    await drop.delete(name(1))
    assert await listed(drop) == {name(2): 5}
    with pytest.raises(FileMissing):
        await drop.get(name(1), 10)
    assert drop.capabilities.latency > 0
    assert drop.capabilities.owner_learns.endswith(".")


async def test_an_empty_file_is_no_trouble(drop: Drop) -> None:
    await drop.put(name(3), b"")
    assert await listed(drop) == {name(3): 0}
    assert await drop.get(name(3), 100) == b""


async def test_a_name_is_of_one_kind() -> None:
    assert is_drop_name(name(5))
    for other in ("", "a.dat", name(5).upper(), name(5) + "\n", "../" + name(5), "." + name(5)):
        assert not is_drop_name(other)


async def test_what_is_wrong_with_a_webdav_server(tmp_path: Path, path: DirectPath) -> None:
    with webdav_server(tmp_path) as url:
        wrong = WebDavDrop(path, url, USER, "wrong")
        missing = WebDavDrop(path, f"{url}/missing", USER, PASSWORD)
        for call in (wrong.list, lambda: wrong.put(name(1), b""), lambda: wrong.get(name(1), 9)):
            with pytest.raises(DropRefused):
                await call()
        for call in (missing.list, lambda: missing.put(name(1), b"x")):
            with pytest.raises(DropGone):
                await call()
    with pytest.raises(DropError, match="Nothing answers at this server"):
        await WebDavDrop(path, url, USER, PASSWORD).list()


async def test_what_is_wrong_with_an_s3_service(
    s3: S3Service, path: DirectPath, tmp_path: Path
) -> None:
    right = place(s3, "wrong")
    refused = [
        S3Drop(path, replace(right, secret="wrong"), time.time),
        S3Drop(path, replace(right, key="wrong"), time.time),
    ]
    for drop in refused:
        for call in (drop.list, lambda drop=drop: drop.put(name(1), b"x")):
            with pytest.raises(DropRefused):
                await call()
    gone = S3Drop(path, replace(right, bucket="no-such-bucket"), time.time)
    for call in (gone.list, lambda: gone.put(name(1), b"x"), lambda: gone.get(name(1), 9)):
        with pytest.raises(DropGone):
            await call()
    with webdav_server(tmp_path) as url, pytest.raises(DropError):
        await S3Drop(path, replace(right, endpoint=url), time.time).list()


async def test_an_s3_listing_of_several_pages(s3: S3Service, path: DirectPath) -> None:
    drop = S3Drop(path, place(s3, "pages"), time.time, S3Settings(page=2))
    for number in range(5):
        await drop.put(name(number), b"x")
    assert await listed(drop) == {name(number): 1 for number in range(5)}
    # What others left there under names of their own is passed over.
    s3.client.put_object(Bucket=BUCKET, Key="pages +ä/0 list.txt", Body=b"x")  # type: ignore[attr-defined]
    assert len(await drop.list()) == 5


async def test_a_captive_portal_is_no_drop(path: DirectPath) -> None:
    """It answers everything with a page."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>Welcome!</html>")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        places: list[Drop] = [
            WebDavDrop(path, url, "", ""),
            S3Drop(path, S3Place(url, BUCKET, "key", "secret"), time.time),
        ]
        for drop in places:
            with pytest.raises(DropConfused):
                await drop.list()


async def test_a_server_that_never_ends_is_given_up(path: DirectPath) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 207 Fine\r\n\r\n")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = WebDavSettings(calls=CallSettings(patience=0.2, slowest=1e12))
        with pytest.raises(DropError, match="in time"):
            await WebDavDrop(path, url, "", "", settings).list()

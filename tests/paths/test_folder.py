"""A folder as a drop: what lies in it, vanishes from it and goes wrong with it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from volok.paths.drop import DropError, DropGone, DropRefused, FileMissing, drop_name
from volok.paths.folder import FolderDrop

NAME = drop_name(bytes(16))
OTHER = drop_name(bytes(15) + b"\1")


@pytest.fixture
async def drop(tmp_path: Path) -> AsyncIterator[FolderDrop]:
    """A drop over an empty folder."""
    (tmp_path / "stick").mkdir()
    made = FolderDrop(tmp_path / "stick", lambda: 1_700_000_000.0)
    yield made
    await made.close()


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """Its folder."""
    return tmp_path / "stick"


async def test_foreign_things_are_left_alone(drop: FolderDrop, stick: Path) -> None:
    (stick / "holiday.jpg").write_bytes(b"x")
    (stick / (NAME + ".part")).write_bytes(b"x")
    (stick / OTHER).symlink_to("/etc/passwd")
    os.mkfifo(stick / drop_name(b"\2" * 16))
    (stick / drop_name(b"\3" * 16)).mkdir()
    assert list(await drop.list()) == []
    with pytest.raises(FileMissing):
        await drop.get(OTHER, 100)
    for byte in (b"\2", b"\3"):
        with pytest.raises(FileMissing):
            await drop.get(drop_name(byte * 16), 100)
    await drop.put(NAME, b"mine")
    assert [file.name for file in await drop.list()] == [NAME]


async def test_a_file_appears_whole_and_tells_little(drop: FolderDrop, stick: Path) -> None:
    await drop.put(NAME, b"data")
    assert [each.name for each in stick.iterdir()] == [NAME]
    facts = (stick / NAME).stat()
    assert facts.st_mtime % 86_400 == 0
    assert facts.st_mode & 0o777 == 0o644


async def test_what_a_broken_writing_left_goes_with_the_file(drop: FolderDrop, stick: Path) -> None:
    (stick / f".{NAME}.part").write_bytes(b"half")
    await drop.delete(NAME)
    assert list(stick.iterdir()) == []


async def test_a_link_is_not_written_through(drop: FolderDrop, stick: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"old")
    (stick / f".{NAME}.part").symlink_to(tmp_path / "precious")
    (stick / NAME).symlink_to(tmp_path / "precious")
    with pytest.raises(DropError):
        await drop.put(NAME, b"new")
    (stick / f".{NAME}.part").unlink(missing_ok=True)
    await drop.put(NAME, b"new")
    assert (tmp_path / "precious").read_bytes() == b"old"
    assert not (stick / NAME).is_symlink()


async def test_a_folder_that_may_not_be_written(drop: FolderDrop, stick: Path) -> None:
    (stick / NAME).write_bytes(b"x")
    stick.chmod(0o500)
    if os.access(stick, os.W_OK):
        pytest.skip("Nothing is forbidden to this user.")
    with pytest.raises(DropRefused):
        await drop.put(OTHER, b"x")
    assert await drop.get(NAME, 9) == b"x"


async def test_a_stick_is_pulled_out_and_comes_back(drop: FolderDrop, stick: Path) -> None:
    await drop.put(NAME, b"data")
    stick.rename(stick.with_name("away"))
    for call in (drop.list, lambda: drop.get(NAME, 9), lambda: drop.put(OTHER, b"x")):
        with pytest.raises(DropGone):
            await call()
    stick.with_name("away").rename(stick)
    assert await drop.get(NAME, 9) == b"data"


async def test_a_mount_point_without_its_stick_is_not_used(tmp_path: Path) -> None:
    on_root = tmp_path.stat().st_dev == Path("/").stat().st_dev
    drop = FolderDrop(tmp_path, time.time, removable=True)
    if on_root:
        with pytest.raises(DropGone):
            await drop.put(NAME, b"x")
        assert list(tmp_path.iterdir()) == []
    else:
        await drop.put(NAME, b"x")
    await drop.close()


async def test_a_folder_of_ten_thousand_files(drop: FolderDrop, stick: Path) -> None:
    for number in range(10_000):
        (stick / drop_name(number.to_bytes(16, "big"))).touch()
    began = time.monotonic()
    assert len(await drop.list()) == 10_000
    assert time.monotonic() - began < 5
    shutil.rmtree(stick)

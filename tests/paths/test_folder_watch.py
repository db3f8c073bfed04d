"""Changes in a folder are told, where they can be."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from volok.paths.drop import drop_name
from volok.paths.folder import FolderDrop
from volok.paths.folder_watch import FolderWatch, file_system_of, mounts

TABLE = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:50 / /media rw - tmpfs tmpfs rw
41 40 8:17 / /media/a\\040stick rw - vfat /dev/sdb1 rw
42 22 0:60 / /home/share rw - nfs4 server:/share rw
43 42 0:61 / /home/share rw - fuse.sshfs over it
nonsense
"""
NAME = drop_name(bytes(16))


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv", "ext4"),
        ("/media/a stick/shared", "vfat"),
        ("/media/another", "tmpfs"),
        ("/home/share", "fuse.sshfs"),
        ("/home/shared", "ext4"),
    ],
)
def test_the_file_system_of_a_folder(folder: str, kind: str) -> None:
    assert file_system_of(Path(folder), TABLE) == kind


def test_what_is_mounted_may_be_unknown() -> None:
    assert file_system_of(Path("/srv"), "") == ""


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[FolderWatch]:
    made = FolderWatch()
    made.start(tmp_path.resolve(), mounts())
    assert made.live
    yield made
    made.stop()


async def told(event: asyncio.Event) -> None:
    async with asyncio.timeout(5):
        await event.wait()
    event.clear()


async def test_whole_files_are_told_and_half_written_ones_are_not(
    watch: FolderWatch, tmp_path: Path
) -> None:
    part = tmp_path / ".part"
    with part.open("wb") as file:
        file.write(b"half")
        file.flush()
        await asyncio.sleep(0)
        assert not watch.changed.is_set()
    await told(watch.changed)
    part.rename(tmp_path / "whole")
    await told(watch.changed)
    (tmp_path / "whole").unlink()
    await told(watch.changed)


async def test_a_folder_that_goes_is_no_longer_watched_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    drop = FolderDrop(folder, lambda: 0.0)
    assert drop.change is None
    await drop.list()
    change = drop.change
    assert change is not None
    shutil.rmtree(folder)
    await told(change)
    async with asyncio.timeout(5):
        while drop.change is not None:
            await asyncio.sleep(0)
    folder.mkdir()
    await drop.list()
    assert drop.change is not None
    await drop.close()
    assert drop.change is None


async def test_what_other_computers_write_is_looked_for(tmp_path: Path) -> None:
    watch = FolderWatch()
    watch.start(tmp_path, f"1 0 0:60 / {tmp_path} rw - nfs4 server:/share rw")
    assert not watch.live


async def test_a_file_that_comes_into_the_drop_is_told(tmp_path: Path) -> None:
    mine, theirs = (FolderDrop(tmp_path, lambda: 0.0) for _ in range(2))
    await mine.list()
    assert mine.change is not None
    await theirs.put(NAME, b"sealed")
    await told(mine.change)
    assert [file.name for file in await mine.list()] == [NAME]
    for drop in (mine, theirs):
        await drop.close()

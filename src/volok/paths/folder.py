"""A folder as a drop: a stick, a share of the local network, a folder that another program syncs.

1. A file is written under a hidden name, synced and then renamed.
2. No link is followed inside the folder, nothing but regular files is opened, and opening never
   waits (a pipe would).
3. All work on one folder is done by one thread of its own: a disk that hangs holds up nothing else,
   and each call gives up after a while.
4. Where the system tells of changes, nobody has to look for them (`folder_watch`).
5. Files bear the beginning of the day as their time, so that it tells little.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from volok.paths.drop import (
    MOST_LOOKED_AT,
    Drop,
    DropCapabilities,
    DropError,
    DropFull,
    DropGone,
    DropRefused,
    FileInfo,
    FileMissing,
    is_drop_name,
    newest,
)
from volok.paths.folder_watch import FolderWatch, mounts

T = TypeVar("T")

_DAY = 86_400
_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o644
"""Others must be able to read what is left for them; what they read is encrypted."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.EIO, errno.ESTALE}


@dataclass(frozen=True, slots=True)
class FolderSettings:
    """How a folder is used as a drop."""

    period: float = 2.0
    """Seconds between two looks into it."""
    patience: float = 60.0
    """Seconds after which a call to a disk that hangs is given up."""


class FolderDrop(Drop):
    """`Drop` over one folder, which may vanish and come back."""

    def __init__(
        self,
        folder: Path,
        now: Callable[[], float],
        *,
        removable: bool = False,
        settings: FolderSettings | None = None,
    ) -> None:
        """`now` gives Unix seconds. With `removable`, the folder counts as gone while it lies on
        the file system of the root: then a stick is not mounted there."""
        self._folder = folder
        self._now = now
        self._removable = removable
        self._settings = settings or FolderSettings()
        self._thread = ThreadPoolExecutor(1, "drop")
        self._watch = FolderWatch()

    @property
    def capabilities(self) -> DropCapabilities:
        return DropCapabilities(
            latency=self._settings.period,
            owner_learns="Whoever can look into this folder sees that encrypted files lie there, "
            "how large they are and when they come and go.",
        )

    async def list(self) -> Sequence[FileInfo]:
        files, place, mounted = await self._do(lambda: (self._list(), self._place(), mounts()))
        self._watch.start(place, mounted)
        return files

    async def get(self, name: str, most: int) -> bytes:
        return await self._do(lambda: self._get(name, most))

    async def put(self, name: str, data: bytes) -> None:
        await self._do(lambda: self._put(name, data))

    async def delete(self, name: str) -> None:
        await self._do(lambda: self._delete(name))

    @property
    def change(self) -> asyncio.Event | None:
        return self._watch.changed if self._watch.live else None

    async def close(self) -> None:
        self._watch.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._settings.patience):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError as error:
            raise DropError("The disk does not answer.") from error
        except OSError as error:
            raise _stated(error) from error

    def _open(self) -> int:
        descriptor = os.open(self._folder, _LOOK)
        if self._removable and on_root(os.fstat(descriptor)):
            os.close(descriptor)
            raise DropGone
        return descriptor

    def _place(self) -> Path:
        return self._folder.resolve()

    def _list(self) -> Sequence[FileInfo]:
        files = []
        folder = self._open()
        try:
            with os.scandir(folder) as entries:
                for count, entry in enumerate(entries):
                    if count >= MOST_LOOKED_AT:
                        break
                    if not is_drop_name(entry.name):
                        continue
                    with suppress(FileNotFoundError):
                        facts = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(facts.st_mode):
                            files.append(FileInfo(entry.name, facts.st_size, facts.st_mtime))
        finally:
            os.close(folder)
        return newest(files)

    def _get(self, name: str, most: int) -> bytes:
        folder = self._open()
        try:
            descriptor = _opened(name, folder)
            with os.fdopen(descriptor, "rb") as file:
                return file.read(most)
        finally:
            os.close(folder)

    def _put(self, name: str, data: bytes) -> None:
        folder = self._open()
        unfinished = _unfinished(name)
        try:
            descriptor = os.open(unfinished, _WRITE, _MODE, dir_fd=folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    with suppress(OSError):  # file systems of sticks know no modes
                        os.fchmod(descriptor, _MODE)
                    file.write(data)
                    file.flush()
                    day = self._now() // _DAY * _DAY
                    with suppress(OSError):
                        os.utime(descriptor, (day, day))
                    os.fsync(descriptor)
                os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(unfinished, dir_fd=folder)
                raise
            with suppress(OSError):  # not every file system syncs folders
                os.fsync(folder)
        finally:
            os.close(folder)

    def _delete(self, name: str) -> None:
        folder = self._open()
        try:
            for each in (name, _unfinished(name)):
                with suppress(FileNotFoundError):
                    os.unlink(each, dir_fd=folder)
        finally:
            os.close(folder)


def _opened(name: str, folder: int) -> int:
    """Open a regular file. Raises FileMissing for anything else, OSError."""
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):  # missing; a link; a socket
            raise FileMissing from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileMissing
    return descriptor


def on_root(facts: os.stat_result) -> bool:
    """Whether a file lies on the same file system as the root folder."""
    return facts.st_dev == os.stat("/").st_dev


def _unfinished(name: str) -> str:
    return f".{name}.part"


def _stated(error: OSError) -> DropError:
    if error.errno in _FULL:
        return DropFull()
    if error.errno in _REFUSED:
        return DropRefused("You may not read or write in this folder. Check its permissions.")
    if error.errno in _GONE:
        return DropGone()
    return DropError("The disk refuses. Check whether it is damaged.")

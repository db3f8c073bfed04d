"""Files that hold secrets: private to their owner, replaced atomically, overwritten to remove."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from volok.store.vault import VaultBusy

PRIVATE = 0o600


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by `data` (mode 0600), durably: after a crash it holds the old or the new.

    What the old file held is overwritten with random bytes, unless it has another hard link. One
    writer at a time. Raises OSError; the old file is then untouched.
    """
    try:
        old = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        old = None
    temporary = _temporary(path)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(temporary, flags, PRIVATE), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
        if old is not None and os.fstat(old).st_nlink == 0:
            _scramble(old)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        if old is not None:
            os.close(old)


def erase(path: Path) -> bool:
    """Overwrite a small file with random bytes, then remove its name; durable on return.

    Returns whether there was one. What an interrupted `write_private` left of it goes, too. A
    copy-on-write file system or a flash disk may keep older copies of a block, which no program
    can reach. Raises OSError.
    """
    found = False
    for name in (path, _temporary(path)):
        try:
            descriptor = os.open(name, os.O_WRONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            _scramble(descriptor)
        finally:
            os.close(descriptor)
        name.unlink(missing_ok=True)
        found = True
    sync_directory(path.parent)
    return found


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _scramble(descriptor: int) -> None:
    """Overwrite all of an open file with random bytes, durably."""
    size = os.fstat(descriptor).st_size
    offset = 0
    while offset < size:
        offset += os.pwrite(descriptor, os.urandom(min(size - offset, 65_536)), offset)
    os.fsync(descriptor)


class HomeLock:
    """The right to use a folder, held by one process at a time (flock(2); POSIX only).

    The lock goes with the process, however it ends. Use as a context manager or call `release`.
    """

    def __init__(self, home: Path) -> None:
        """Take the lock of `home`, which must exist. Raises VaultBusy, OSError."""
        self._descriptor: int | None = os.open(home / "lock", os.O_RDWR | os.O_CREAT, PRIVATE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if isinstance(error, BlockingIOError):
                raise VaultBusy from error
            raise

    def release(self) -> None:
        """Give the folder back. Harmless when called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> HomeLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

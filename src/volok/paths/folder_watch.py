"""Changes in a folder as the system tells them (inotify(7)), so that nobody has to look for them.

1. Only what programs of this computer do is told. On a file system that other computers write to,
   as on one that we do not know, there is nothing to watch.
2. A folder that is gone, or was unmounted, is no longer watched; whoever finds it again calls
   `start` anew.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path

from asyncinotify import Inotify, Mask

_LOCAL = frozenset(
    [
        "bcachefs",
        "btrfs",
        "exfat",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "msdos",
        "ntfs3",
        "overlay",
        "tmpfs",
        "vfat",
        "xfs",
        "zfs",
    ]
)
_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_WHOLE = Mask.CLOSE_WRITE | Mask.MOVED_TO | Mask.MOVED_FROM | Mask.DELETE
"""What happens to whole files; a file that is still being written is nobody's business."""
_END = Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.UNMOUNT | Mask.IGNORED


class FolderWatch:
    """One folder. Belongs to one event loop."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self.changed = asyncio.Event()
        """Set when something changed; whoever reacts clears it before looking."""

    @property
    def live(self) -> bool:
        """Whether changes are told now."""
        return self._task is not None and not self._task.done()

    def start(self, folder: Path, mounted: str) -> None:
        """Watch a folder (absolute, without links) if it can be done; harmless when it is done
        already. `mounted` is the text of /proc/self/mountinfo."""
        if self.live or file_system_of(folder, mounted) not in _LOCAL:
            return
        inotify = None
        try:
            inotify = Inotify()
            inotify.add_watch(folder, _WHOLE | _END)
        except OSError:  # gone again, or there are too many watches already
            if inotify is not None:
                inotify.close()
            return
        self._task = asyncio.get_running_loop().create_task(self._listen(inotify))

    def stop(self) -> None:
        """Watch no longer."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _listen(self, inotify: Inotify) -> None:
        with inotify, suppress(OSError):
            async for event in inotify:
                self.changed.set()
                if event.mask & _END:
                    return


def mounts() -> str:
    """What is mounted; empty where the system does not tell."""
    try:
        return _MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return ""


def file_system_of(folder: Path, mounted: str) -> str:
    """The type of the file system that a folder lies on, by the text of /proc/self/mountinfo
    (proc(5)); empty when it does not say."""
    best, kind = -1, ""
    parts = folder.parts
    for line in mounted.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = Path(_ESCAPE.sub(lambda one: chr(int(one[1], 8)), fields[4])).parts
        # Of several at one place, the last one covers the others.
        if parts[: len(point)] == point and len(point) >= best:
            best, kind = len(point), after.partition(" ")[0]
    return kind

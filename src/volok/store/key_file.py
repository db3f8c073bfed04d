"""The file with the keys of a sealed store, on the disk of each relay that uses that store.

What lies in a database that others run (its tables, its log, its backups) cannot be overwritten
from here. So events are sealed there one by one, and what erases one is the loss of its key:

1. The file holds the nodes of a `KeyTree`, the position up to which erasures have been applied, and
   two keys that do not change: for the index, and for what goes over the bus.
2. It is made of slots of 64 bytes. New nodes are written and synced before the nodes above them are
   overwritten with zeros and synced; the position comes last. After a crash in between, the same
   erasures are applied again. A torn slot is one that was not written.
3. Whoever copies the file for another relay copies what could be read at that moment.

A copy-on-write file system or a flash disk may keep older copies of a block, which no program can
reach.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from volok.store.key_tree import KEY_BYTES, ROOT, Change, KeyTree, Node
from volok.store.secure_files import PRIVATE, sync_directory
from volok.store.store import StoreError

KEY_FILE = "store.key"
"""Its name in the folder of a relay."""

_MAGIC = b"volok keys 1\0"
_SLOT = 64
_RECORD = struct.Struct("<BBQ32sI")
_EMPTY, _NODE, _POSITION, _INDEX, _BUS, _DATABASE = range(6)
_CHECKED = _RECORD.size - 4


class WrongKeyFile(StoreError):
    """The key file in this folder belongs to another database, or is damaged."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What does not change."""

    database: bytes
    """32 random bytes that name the database."""
    index: bytes
    """The key under which names of events, people and tags are hashed."""
    bus: bytes
    """The key of what goes over the bus."""


class KeyFile:
    """The keys of one store. `open` and `write` block on the disk; `erase` does not, and must not
    be called while `write` runs."""

    def __init__(self, descriptor: int, slots: dict[int, bytes]) -> None:
        """Use `open`."""
        self._descriptor = descriptor
        self._slots: dict[Node, int] = {}
        self._free: list[int] = []
        self._end = 1
        self._position_slot = 0
        self.position = 0
        """The last erasure that was applied."""
        fixed: dict[int, bytes] = {}
        nodes: dict[Node, bytes] = {}
        for slot, data in slots.items():
            kind, level, index, key = _unpacked(data)
            self._end = max(self._end, slot + 1)
            if kind == _NODE:
                nodes[level, index] = key
                self._slots[level, index] = slot
            elif kind == _POSITION:
                self.position, self._position_slot = index, slot
            elif kind in (_INDEX, _BUS, _DATABASE):
                fixed[kind] = key
            else:
                self._free.append(slot)
        if len(fixed) != 3:
            raise WrongKeyFile
        if not self._position_slot:  # torn: all that is known to be erased is erased again
            self._position_slot, self._end = self._end, self._end + 1
        self.secrets = Secrets(fixed[_DATABASE], fixed[_INDEX], fixed[_BUS])
        self.tree = KeyTree(_tops(nodes))
        self._pending = Change()

    @classmethod
    def open(cls, path: Path, random: Callable[[int], bytes]) -> KeyFile:
        """Open the file; make it with fresh keys if there is none. Raises WrongKeyFile, OSError."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            _make(path, random)
            descriptor = os.open(path, flags)
        try:
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read()
            if not data.startswith(_MAGIC):
                raise WrongKeyFile
            slots = range(1, len(data) // _SLOT)
            return cls(descriptor, {n: data[n * _SLOT : (n + 1) * _SLOT] for n in slots})
        except BaseException:
            os.close(descriptor)
            raise

    def erase(self, numbers: Iterable[int]) -> None:
        """Forget the keys of these numbers; they are gone from the file after `write`."""
        change, pending = self.tree.puncture(numbers), self._pending
        for node in change.removed:
            pending.added.pop(node, None)
        pending.removed |= change.removed
        pending.added |= change.added

    def write(self, position: int) -> None:
        """Bring the file to what the tree has become, durably. Raises OSError; what was not written
        then is written the next time."""
        added, removed = self._pending.added, self._pending.removed
        self._write((self._place(node), _packed(_NODE, *node, key)) for node, key in added.items())
        gone = [node for node in removed if node in self._slots and node not in added]
        self._write((self._slots[node], bytes(_SLOT)) for node in gone)
        self._free += [self._slots.pop(node) for node in gone]
        self._pending = Change()
        self._write([(self._position_slot, _packed(_POSITION, 0, position, bytes(KEY_BYTES)))])
        self.position = position

    def close(self) -> None:
        """Release the file. Harmless when called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _place(self, node: Node) -> int:
        slot = self._slots.get(node)
        if slot is None:
            slot = self._slots[node] = self._free.pop() if self._free else self._end
            self._end = max(self._end, slot + 1)
        return slot

    def _write(self, records: Iterable[tuple[int, bytes]]) -> None:
        written = 0
        for slot, data in records:
            written += os.pwrite(self._descriptor, data, slot * _SLOT)
        if written:
            os.fsync(self._descriptor)


def _make(path: Path, random: Callable[[int], bytes]) -> None:
    records = [
        _MAGIC.ljust(_SLOT, b"\0"),
        _packed(_DATABASE, 0, 0, random(KEY_BYTES)),
        _packed(_INDEX, 0, 0, random(KEY_BYTES)),
        _packed(_BUS, 0, 0, random(KEY_BYTES)),
        _packed(_POSITION, 0, 0, bytes(KEY_BYTES)),
        _packed(_NODE, *ROOT, random(KEY_BYTES)),
    ]
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
    try:
        os.write(descriptor, b"".join(records))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_directory(path.parent)


def _packed(kind: int, level: int, index: int, key: bytes) -> bytes:
    data = _RECORD.pack(kind, level, index, key, 0)[:_CHECKED]
    return (data + crc32(data).to_bytes(4, "little")).ljust(_SLOT, b"\0")


def _unpacked(data: bytes) -> tuple[int, int, int, bytes]:
    kind, level, index, key, check = _RECORD.unpack_from(data)
    if check != crc32(data[:_CHECKED]):
        return _EMPTY, 0, 0, b""
    return kind, level, index, key


def _tops(nodes: dict[Node, bytes]) -> dict[Node, bytes]:
    """The nodes as they are. After a crash a node and those below it may both be there: the upper
    one stays until its erasure is applied again, and what is below it says nothing new."""
    return {
        (level, index): key
        for (level, index), key in nodes.items()
        if not any((up, index >> 4 * (level - up)) in nodes for up in range(level))
    }

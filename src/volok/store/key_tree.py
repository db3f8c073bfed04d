"""A tree of keys, one leaf for each number, from which single leaves can be taken for ever.

1. The root is 32 random bytes; the key of a child is the keyed BLAKE2b (RFC 7693) of its place
   below its parent. So keys need not be kept or sent around before they are needed: whoever has
   the root has all.
2. To take leaves away is to replace each node above them by its other children. What is left gives
   every other leaf, and tells nothing of those that are gone: the functions go one way. This is a
   puncturable pseudorandom function after Goldreich, Goldwasser and Micali (1986).
3. Pure: whoever keeps the nodes on a disk erases there what `puncture` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

KEY_BYTES = 32
LEVELS = 12
"""Of 16 children each: 2**48 leaves."""
LEAVES = 16**LEVELS

_BITS = 4
_PERSON = b"volok key tree"
_CACHED = 4096
"""Keys of inner nodes that are remembered between two changes."""

Node = tuple[int, int]
"""Level (0 is the root) and index within it."""

ROOT: Node = (0, 0)


@dataclass(slots=True)
class Change:
    """What has changed in the set of nodes."""

    added: dict[Node, bytes] = field(default_factory=dict)
    removed: set[Node] = field(default_factory=set)


class KeyTree:
    """The nodes that are left, and what follows from them."""

    def __init__(self, nodes: dict[Node, bytes]) -> None:
        """`nodes` is kept and changed; none of it stands below another."""
        self.nodes = nodes
        self._cache: dict[Node, bytes] = {}

    def key(self, number: int) -> bytes | None:
        """The key of a leaf; None when it is gone. Raises ValueError for no leaf."""
        if not 0 <= number < LEAVES:
            raise ValueError("The tree has no such leaf.")
        last = self.nodes.get((LEVELS, number))
        if last is not None:
            return last
        parent = self._inner(LEVELS - 1, number >> _BITS)
        return None if parent is None else _child(parent, number & 15)

    def puncture(self, numbers: Iterable[int]) -> Change:
        """Take these leaves away, as far as they are there. Raises ValueError for no leaf."""
        change = Change()
        for number in numbers:
            if not 0 <= number < LEAVES:
                raise ValueError("The tree has no such leaf.")
            self._take(number, change)
        self._cache.clear()
        return change

    def _take(self, number: int, change: Change) -> None:
        level = next(
            (n for n in range(LEVELS, -1, -1) if (n, number >> _BITS * (LEVELS - n)) in self.nodes),
            None,
        )
        if level is None:
            return
        key = self._remove((level, number >> _BITS * (LEVELS - level)), change)
        while level < LEVELS:
            level += 1
            index = number >> _BITS * (LEVELS - level)
            for other in range(index & ~15, (index & ~15) + 16):
                if other != index:
                    self.nodes[level, other] = change.added[level, other] = _child(key, other & 15)
            key = _child(key, index & 15)

    def _remove(self, node: Node, change: Change) -> bytes:
        if change.added.pop(node, None) is None:
            change.removed.add(node)
        return self.nodes.pop(node)

    def _inner(self, level: int, index: int) -> bytes | None:
        path = []
        key = None
        while level >= 0:
            node = level, index
            key = self.nodes.get(node) or self._cache.get(node)
            if key is not None:
                break
            path.append(node)
            level, index = level - 1, index >> _BITS
        if key is None:
            return None
        if len(self._cache) > _CACHED:
            self._cache.clear()
        for node in reversed(path):
            key = self._cache[node] = _child(key, node[1] & 15)
        return key


def _child(key: bytes, place: int) -> bytes:
    return blake2b(bytes((place,)), key=key, digest_size=KEY_BYTES, person=_PERSON).digest()

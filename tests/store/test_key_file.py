"""The key file: what was erased is in no byte of it, whatever moment the power fails."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from volok.store.key_file import KEY_FILE, KeyFile, WrongKeyFile
from volok.store.key_tree import ROOT, KeyTree

OLD_STATES = Path(__file__).parents[1] / "old_states"


def opened(folder: Path) -> KeyFile:
    return KeyFile.open(folder / KEY_FILE, os.urandom)


def test_made_once_and_kept(tmp_path: Path) -> None:
    keys = opened(tmp_path)
    first = [keys.tree.key(n) for n in range(100)]
    keys.erase([5, 50])
    keys.write(7)
    keys.close()
    keys.close()
    again = opened(tmp_path)
    assert again.secrets == keys.secrets
    assert again.position == 7
    for n in range(100):
        assert again.tree.key(n) == (None if n in (5, 50) else first[n])
    again.close()
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_no_byte_of_the_file_leads_to_what_was_erased(tmp_path: Path) -> None:
    """Whoever takes the disk finds neither the keys nor anything above them."""
    keys, dice = opened(tmp_path), random.Random(1)
    root = keys.tree.nodes[ROOT]
    whole = KeyTree({ROOT: root})
    gone: set[int] = set()
    for turn in range(20):
        numbers = {dice.randrange(3000) for _ in range(30)}
        keys.erase(numbers)
        keys.write(turn + 1)
        gone |= numbers
        data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        for number in gone:
            for level in range(13):
                node = _ancestor(whole, level, number)
                assert node not in data, f"the key of level {level} above {number}"
    keys.close()


def test_after_a_crash_the_same_erasures_are_applied_again(tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE
    keys = opened(tmp_path)
    first = [keys.tree.key(n) for n in range(300)]
    keys.erase([3])
    keys.write(1)
    before = path.read_bytes()
    keys.erase([100, 200])
    keys.write(2)
    keys.close()
    after = path.read_bytes()
    slots = [n for n in range(len(after) // 64) if before[n * 64 :][:64] != after[n * 64 :][:64]]
    dice = random.Random(2)
    for _ in range(30):
        # Some of the slots reached the disk, and one of them is torn.
        written = {slot for slot in slots if dice.random() < 0.5}
        mixed = bytearray(before.ljust(len(after), b"\0"))
        for slot in written:
            mixed[slot * 64 : slot * 64 + 64] = after[slot * 64 :][:64]
        torn = dice.choice(slots)
        if torn * 64 >= len(before):
            mixed[torn * 64 + 20] ^= 0xFF
        path.write_bytes(mixed)
        if not _legal(before, after, written, torn):
            continue
        again = opened(tmp_path)
        again.erase([3, 100, 200])
        again.write(2)
        again.close()
        final = opened(tmp_path)
        for n in range(300):
            assert final.tree.key(n) == (None if n in (3, 100, 200) else first[n])
        final.close()


def test_what_could_not_be_written_is_written_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = opened(tmp_path)
    root = keys.tree.nodes[ROOT]
    keys.erase([1])
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", _refuse)
        with pytest.raises(OSError, match="no"):
            keys.write(1)
    keys.erase([2])
    keys.write(2)
    keys.close()
    assert root not in (tmp_path / KEY_FILE).read_bytes()
    again = opened(tmp_path)
    assert again.tree.key(1) is None
    assert again.tree.key(2) is None
    assert again.tree.key(3) is not None
    again.close()


@pytest.mark.parametrize("data", [b"", b"something else", b"volok keys 1\0" + bytes(500)])
def test_what_is_no_key_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(data)
    with pytest.raises(WrongKeyFile):
        opened(tmp_path)


def test_a_file_of_version_1_loads(tmp_path: Path) -> None:
    data = (OLD_STATES / "key_file_v1" / KEY_FILE).read_bytes()
    (tmp_path / KEY_FILE).write_bytes(data)
    keys = opened(tmp_path)
    assert keys.position == 3
    assert keys.secrets.database == b"\x01" * 32
    assert keys.secrets.index == b"\x02" * 32
    assert keys.secrets.bus == b"\x03" * 32
    whole = KeyTree({ROOT: b"\x04" * 32})
    for n in range(200):
        assert keys.tree.key(n) == (None if n in (10, 100) else whole.key(n))
    keys.close()


def _ancestor(whole: KeyTree, level: int, number: int) -> bytes:
    """The key of the node of this level above a leaf."""
    key = whole._inner(level, number >> 4 * (12 - level)) if level < 12 else whole.key(number)
    assert key is not None
    return key


def _legal(before: bytes, after: bytes, written: set[int], torn: int) -> bool:
    """Whether a crash can leave this: nothing was zeroed before all that is new was synced."""
    new = {n for n in range(len(after) // 64) if n * 64 >= len(before)}
    changed_old = {n for n in written if n not in new}
    return not changed_old or (new <= written and torn not in new)


def _refuse(*_: object) -> int:
    raise OSError("no")

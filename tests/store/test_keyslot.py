"""The key slot: passphrases, damage, hostile parameters, and what destroying it leaves."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volok.native import NativeCrypto
from volok.store.keyslot import MAX_SLOT_BYTES, KdfCost, KeySlot, Protection, unwrap, wrap
from volok.store.secure_files import HomeLock, write_private
from volok.store.vault import (
    VaultBusy,
    VaultDamaged,
    VaultDestroyed,
    VaultError,
    VaultFull,
    VaultTooNew,
    WrongPassphrase,
)

CRYPTO = NativeCrypto()
CHEAP = KdfCost(memory_kib=8, passes=1, lanes=1)
MASTER = bytes(range(32))


@pytest.fixture
def slot(tmp_path: Path) -> KeySlot:
    return KeySlot(tmp_path / "keyslot.json", CRYPTO, CHEAP)


def path_of(slot: KeySlot) -> Path:
    return slot._path


def test_the_default_cost_is_that_of_rfc_9106() -> None:
    kdf = json.loads(wrap(MASTER, "p", CRYPTO))["kdf"]
    assert (kdf["name"], kdf["memory_kib"], kdf["passes"], kdf["lanes"]) == (
        "argon2id",
        64 * 1024,
        3,
        4,
    )


def test_a_passphrase_protects_the_key(slot: KeySlot) -> None:
    master = slot.create("correct horse")
    assert len(master) == 32
    assert master.hex() not in slot.read().decode()
    assert slot.protection() is Protection.PASSPHRASE
    assert slot.unlock("correct horse") == master
    for wrong in ("correct hors", "", None, "Correct horse"):
        with pytest.raises(WrongPassphrase):
            slot.unlock(wrong)
    assert path_of(slot).stat().st_mode & 0o777 == 0o600


def test_without_a_passphrase_the_slot_says_so(slot: KeySlot) -> None:
    master = slot.create(None)
    assert slot.protection() is Protection.NONE
    assert json.loads(slot.read())["protection"] == "none"
    assert slot.unlock(None) == slot.unlock("ignored") == master
    assert path_of(slot).stat().st_mode & 0o777 == 0o600


def test_an_empty_passphrase_is_refused(slot: KeySlot) -> None:
    with pytest.raises(ValueError, match="empty"):
        slot.create("")
    assert not slot.exists()


def test_one_passphrase_in_two_spellings_of_unicode_is_one() -> None:
    composed, decomposed = "\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}"
    assert unwrap(wrap(MASTER, composed, CRYPTO, CHEAP), decomposed, CRYPTO) == MASTER


def test_a_slot_is_never_overwritten_by_a_new_key(slot: KeySlot) -> None:
    master = slot.create(None)
    with pytest.raises(FileExistsError):
        slot.create("x")
    with pytest.raises(FileExistsError):
        slot.adopt(wrap(bytes(32), None, CRYPTO))
    assert slot.unlock(None) == master


def test_changing_the_passphrase_keeps_the_key_and_overwrites_the_old_slot(slot: KeySlot) -> None:
    master = slot.create("old")
    before = slot.read()
    with path_of(slot).open("rb") as held:
        with pytest.raises(WrongPassphrase):
            slot.change("not it", "new")
        assert slot.read() == before
        slot.change("old", "new")
        assert held.read() not in (before, b"")
    assert slot.unlock("new") == master
    with pytest.raises(WrongPassphrase):
        slot.unlock("old")
    slot.change("new", None)
    assert slot.unlock(None) == master
    assert [file.name for file in path_of(slot).parent.iterdir()] == ["keyslot.json"]


def test_a_hard_linked_copy_of_the_old_slot_is_left_alone(tmp_path: Path) -> None:
    path, copy = tmp_path / "a", tmp_path / "b"
    write_private(path, b"one")
    os.link(path, copy)
    write_private(path, b"two")
    assert (path.read_bytes(), copy.read_bytes()) == (b"two", b"one")


def test_destroy_leaves_no_key_in_any_file_and_is_quick(slot: KeySlot) -> None:
    master = slot.create(None)
    leftover = path_of(slot).with_name("keyslot.json.new")
    leftover.write_bytes(slot.read())
    with path_of(slot).open("rb") as held, leftover.open("rb") as held_leftover:
        began = time.perf_counter()
        slot.destroy()
        took = time.perf_counter() - began
        remains = held.read() + held_leftover.read()
    assert len(remains) > 64
    assert master.hex().encode() not in remains
    assert b"volok" not in remains
    assert list(path_of(slot).parent.iterdir()) == []
    assert not slot.exists()
    with pytest.raises(VaultDestroyed):
        slot.unlock(None)
    slot.destroy()
    assert took < 0.1


def test_adopting_a_slot_of_a_backup(slot: KeySlot) -> None:
    with pytest.raises(VaultDamaged):
        slot.adopt(b"{}")
    assert not slot.exists()
    slot.adopt(wrap(MASTER, "p", CRYPTO, CHEAP))
    assert slot.unlock("p") == MASTER


def altered(**changes: object) -> bytes:
    fields = json.loads(wrap(MASTER, "p", CRYPTO, CHEAP))
    for name, value in changes.items():
        (fields["kdf"] if name in fields["kdf"] else fields)[name] = value
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    "slot",
    [
        b"",
        b"\xff",
        b"null",
        b"[" * 4000,
        b'{"format": "volok-keyslot"}',
        b" " * (MAX_SLOT_BYTES + 1),
        altered(format="other"),
        altered(version=True),
        altered(version=0),
        altered(protection="rot13"),
        altered(protection=["none"]),
        altered(protection="none"),
        altered(kdf=None),
        altered(name="argon2d"),
        altered(memory_kib=2**40),
        altered(memory_kib=7),
        altered(passes=10**6),
        altered(lanes=0),
        altered(lanes=1.5),
        altered(salt="00"),
        altered(salt="zz" * 16),
        altered(nonce=12),
        altered(wrapped="00" * 47),
    ],
)
def test_a_damaged_or_hostile_slot_is_refused_before_any_work(slot: bytes) -> None:
    with pytest.raises(VaultDamaged):
        unwrap(slot, "p", CRYPTO)


def test_a_newer_slot_is_too_new() -> None:
    with pytest.raises(VaultTooNew):
        unwrap(altered(version=2), "p", CRYPTO)


def test_an_altered_key_does_not_open() -> None:
    for change in ({"wrapped": "00" * 48}, {"nonce": "00" * 12}, {"salt": "00" * 16}):
        with pytest.raises(WrongPassphrase):
            unwrap(altered(**change), "p", CRYPTO)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damage_gives_the_key_or_a_documented_error(data: st.DataObject) -> None:
    sound = wrap(MASTER, "p", CRYPTO, CHEAP)
    at = data.draw(st.integers(0, len(sound) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "insert"]))
    damaged = {
        "cut": sound[:at],
        "flip": sound[:at] + bytes([data.draw(st.integers(0, 255))]) + sound[at + 1 :],
        "insert": sound[:at] + data.draw(st.binary(max_size=8)) + sound[at:],
    }[kind]
    try:
        master = unwrap(damaged, "p", CRYPTO)
    except (WrongPassphrase, VaultDamaged, VaultTooNew):
        return
    assert master == MASTER


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.none() | st.text(min_size=1, max_size=40))
def test_wrap_and_unwrap_are_inverse(master: bytes, passphrase: str | None) -> None:
    assert unwrap(wrap(master, passphrase, CRYPTO, CHEAP), passphrase, CRYPTO) == master


def test_a_slot_that_cannot_be_written_is_a_stated_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(VaultError):
        KeySlot(tmp_path / "missing" / "keyslot.json", CRYPTO, CHEAP).create(None)
    slot = KeySlot(tmp_path / "keyslot.json", CRYPTO, CHEAP)
    slot.create("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(VaultFull):
        slot.change("old", "new")
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["keyslot.json"]
    assert len(slot.unlock("old")) == 32


def test_one_home_has_one_user(tmp_path: Path) -> None:
    with HomeLock(tmp_path), pytest.raises(VaultBusy):
        HomeLock(tmp_path)
    HomeLock(tmp_path).release()

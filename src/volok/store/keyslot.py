"""The file that holds the vault's master key: wrapped under a passphrase, or in the clear.

`keyslot.json`, version 1, at most 4 KiB, all byte strings in lower-case hexadecimal:

    {"format": "volok-keyslot", "version": 1, "protection": "passphrase",
     "kdf": {"name": "argon2id", "salt": 16 bytes, "memory_kib": 65536, "passes": 3, "lanes": 4},
     "nonce": 12 bytes, "wrapped": 48 bytes}
    {"format": "volok-keyslot", "version": 1, "protection": "none", "key": 32 bytes}

`wrapped` is ChaCha20-Poly1305 (RFC 8439) of the 32-byte master key, associated data
"volok keyslot v1", under Argon2id version 0x13 (RFC 9106) of the passphrase (NFC, UTF-8). The
master key itself encrypts nothing: every file has its own key, `hkdf(master, label)`.

Deriving a key takes about 0.2 seconds of all cores by design: call these functions off the loop.
"""

from __future__ import annotations

import errno
import json
import unicodedata
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw

from volok.model.crypto import Crypto, CryptoError
from volok.store.secure_files import erase, write_private
from volok.store.vault import (
    VaultDamaged,
    VaultDestroyed,
    VaultError,
    VaultFull,
    VaultTooNew,
    WrongPassphrase,
)

VAULT_LABEL = b"volok vault v1"
STORE_LABEL = b"volok store v1"
"""Labels for `volok.model.crypto.hkdf` that give the keys of single files from the master key."""

FORMAT = "volok-keyslot"
VERSION = 1
MASTER_BYTES = 32
MAX_SLOT_BYTES = 4096
_ASSOCIATED = b"volok keyslot v1"


class Protection(Enum):
    """What stands between a thief of the disk and the master key."""

    PASSPHRASE = "passphrase"  # noqa: S105
    NONE = "none"


@dataclass(frozen=True, slots=True)
class KdfCost:
    """What one guess of a passphrase costs (Argon2id). The default is RFC 9106, section 4, the
    second recommended option."""

    memory_kib: int = 65_536
    """Memory in KiB."""
    passes: int = 3
    lanes: int = 4
    """Degree of parallelism."""


MAX_COST = KdfCost(memory_kib=262_144, passes=16, lanes=16)
"""The most that a slot file may ask for: it may come with somebody else's backup."""


def wrap(
    master: bytes, passphrase: str | None, crypto: Crypto, cost: KdfCost | None = None
) -> bytes:
    """Return the contents of a slot file for a 32-byte master key; None leaves it in the clear.

    Raises ValueError for an empty passphrase, VaultError when there is too little memory.
    """
    slot: dict[str, Any] = {"format": FORMAT, "version": VERSION}
    if passphrase is None:
        slot |= {"protection": Protection.NONE.value, "key": master.hex()}
    elif not passphrase:
        raise ValueError("An empty passphrase protects nothing.")
    else:
        cost = cost or KdfCost()
        salt, nonce = crypto.random(16), crypto.random(12)
        key = _derive(passphrase, salt, cost)
        slot |= {
            "protection": Protection.PASSPHRASE.value,
            "kdf": {
                "name": "argon2id",
                "salt": salt.hex(),
                "memory_kib": cost.memory_kib,
                "passes": cost.passes,
                "lanes": cost.lanes,
            },
            "nonce": nonce.hex(),
            "wrapped": crypto.encrypt(key, nonce, master, _ASSOCIATED).hex(),
        }
    return json.dumps(slot, indent=1).encode() + b"\n"


def unwrap(slot: bytes, passphrase: str | None, crypto: Crypto) -> bytes:
    """Return the 32-byte master key. Without protection, `passphrase` is not looked at.

    Raises WrongPassphrase, VaultTooNew, VaultDamaged, and VaultError when there is too little
    memory.
    """
    fields = _parse(slot)
    if _protection(fields) is Protection.NONE:
        return _bytes(fields, "key", MASTER_BYTES)
    kdf = fields.get("kdf")
    if not isinstance(kdf, dict) or kdf.get("name") != "argon2id":
        raise VaultDamaged
    cost = KdfCost(
        memory_kib=_number(kdf, "memory_kib", MAX_COST.memory_kib),
        passes=_number(kdf, "passes", MAX_COST.passes),
        lanes=_number(kdf, "lanes", MAX_COST.lanes),
    )
    if cost.memory_kib < 8 * cost.lanes:  # RFC 9106, section 3.1
        raise VaultDamaged
    salt, nonce = _bytes(kdf, "salt", 16), _bytes(fields, "nonce", 12)
    wrapped = _bytes(fields, "wrapped", MASTER_BYTES + 16)
    if not passphrase:
        raise WrongPassphrase
    try:
        return crypto.decrypt(_derive(passphrase, salt, cost), nonce, wrapped, _ASSOCIATED)
    except CryptoError as error:
        raise WrongPassphrase from error


def protection(slot: bytes) -> Protection:
    """Say how a slot is protected. Raises VaultTooNew, VaultDamaged."""
    return _protection(_parse(slot))


class KeySlot:
    """The slot file of one home. Whoever calls holds the HomeLock."""

    def __init__(self, path: Path, crypto: Crypto, cost: KdfCost | None = None) -> None:
        self._path = path
        self._crypto = crypto
        self._cost = cost or KdfCost()

    def exists(self) -> bool:
        """Whether there is a slot file; False before `create` and after `destroy`."""
        return self._path.exists()

    def create(self, passphrase: str | None) -> bytes:
        """Make a master key, write its slot, return the key (32 bytes).

        Raises FileExistsError rather than lose a key, ValueError for an empty passphrase,
        VaultError.
        """
        if self._path.exists():
            raise FileExistsError(self._path)
        master = self._crypto.random(MASTER_BYTES)
        self._write(wrap(master, passphrase, self._crypto, self._cost))
        return master

    def adopt(self, slot: bytes) -> None:
        """Put the slot of a backup in place. Raises FileExistsError, VaultTooNew, VaultDamaged,
        VaultError."""
        if self._path.exists():
            raise FileExistsError(self._path)
        _protection(_parse(slot))
        self._write(slot)

    def read(self) -> bytes:
        """Return the slot as it is, for a backup. Raises VaultDestroyed, VaultError."""
        try:
            with self._path.open("rb") as file:
                return file.read(MAX_SLOT_BYTES + 1)
        except FileNotFoundError as error:
            raise VaultDestroyed from error
        except OSError as error:
            raise VaultError("The key file of the vault cannot be read.") from error

    def protection(self) -> Protection:
        """Say how the key is protected. Raises VaultDestroyed, VaultTooNew, VaultDamaged,
        VaultError."""
        return protection(self.read())

    def unlock(self, passphrase: str | None) -> bytes:
        """Return the master key. Raises WrongPassphrase, VaultDestroyed, VaultTooNew,
        VaultDamaged, VaultError."""
        return unwrap(self.read(), passphrase, self._crypto)

    def change(self, old: str | None, new: str | None) -> None:
        """Wrap the same master key under another passphrase; what the old slot held is overwritten.

        Raises what `unlock` raises, then the old slot is as it was; ValueError for an empty `new`.
        """
        self._write(wrap(self.unlock(old), new, self._crypto, self._cost))

    def destroy(self) -> None:
        """Overwrite and remove the slot, at once and without a passphrase; no key survives on disk.

        Harmless when there is none. Raises VaultError when the file resists.
        """
        try:
            erase(self._path)
        except OSError as error:
            raise VaultError("The key file of the vault cannot be removed.") from error

    def _write(self, slot: bytes) -> None:
        try:
            write_private(self._path, slot)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise VaultFull from error
            raise VaultError("The key file of the vault cannot be written.") from error


def _derive(passphrase: str, salt: bytes, cost: KdfCost) -> bytes:
    # NFC, as RFC 8265 wants it: one passphrase must not depend on the keyboard it is typed on.
    secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    try:
        return hash_secret_raw(
            secret, salt, cost.passes, cost.memory_kib, cost.lanes, 32, Type.ID, version=0x13
        )
    except HashingError as error:
        raise VaultError("There is too little memory to open the vault.") from error


def _parse(slot: bytes) -> dict[str, Any]:
    if len(slot) > MAX_SLOT_BYTES:
        raise VaultDamaged
    try:
        fields = json.loads(slot)
    except (ValueError, RecursionError) as error:
        raise VaultDamaged from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise VaultDamaged
    if _number(fields, "version", 2**31) > VERSION:
        raise VaultTooNew
    return fields


def _protection(fields: dict[str, Any]) -> Protection:
    try:
        return Protection(fields.get("protection"))
    except ValueError as error:
        raise VaultDamaged from error


def _number(fields: dict[str, Any], name: str, most: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not 1 <= value <= most:
        raise VaultDamaged
    return value


def _bytes(fields: dict[str, Any], name: str, length: int) -> bytes:
    value = fields.get(name)
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError as error:
        raise VaultDamaged from error
    if len(data) != length:
        raise VaultDamaged
    return data

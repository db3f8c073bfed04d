"""What a vault is: a person's private state, encrypted at rest, changed by transactions.

1. A transaction is a plain function over `Transaction`; it happens wholly or not at all, and
   `transact` returns only when it is durable. Several waiting transactions share one commit.
2. The language is SQLite's. A backend on a computer is an encrypted SQLite file; in a browser it is
   SQLite in WebAssembly. Callers hold no connection and rely on no journal mode.
3. What is deleted is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

Value = None | int | float | str | bytes
Row = tuple[Any, ...]
T = TypeVar("T")


class VaultError(Exception):
    """The vault could not be read or written."""


class VaultFull(VaultError):
    """The disk is full. Free some space and try again; nothing that was saved is lost."""


class VaultLocked(VaultError):
    """The vault is locked. Unlock it with your passphrase."""


class WrongPassphrase(VaultError):
    """This passphrase does not open the vault. Check the keyboard layout and try again."""


class VaultTooNew(VaultError):
    """This vault was written by a newer version of Volok. Update Volok and open it again."""


class VaultBusy(VaultError):
    """Another Volok is using this folder. Close it first, or choose another folder."""


class VaultDamaged(VaultError):
    """The files of this vault are damaged. Restore them from a backup."""


class VaultDestroyed(VaultError):
    """The key of this vault was destroyed. What it held cannot be read by anybody."""


class Transaction(Protocol):
    """The inside of a transaction, or of a consistent read."""

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Run one statement and return its rows (for INSERT with RETURNING, too)."""

    def many(self, sql: str, parameters: Sequence[Sequence[Value]]) -> None:
        """Run one statement once for each sequence of parameters."""


class Vault(Protocol):
    """An open vault."""

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` and commit. If it raises, nothing of it happened and the error comes through.

        `work` may run on another thread, one transaction at a time; it must not await or keep `tx`.
        It may be run more than once, the last time alone counting.
        Raises VaultFull, VaultLocked, VaultError.
        """

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on a consistent view that includes every transaction that has returned."""

    async def flush(self) -> None:
        """Return when everything is durable, on backends that delay it."""

    async def close(self) -> None:
        """Forget the key and release the file. Further calls raise VaultLocked."""

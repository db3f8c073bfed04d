"""One connection to an encrypted SQLite file: its key, its pragmas, its errors, its migrations.

The cipher is ChaCha20-Poly1305 per page, by SQLite3 Multiple Ciphers (the build of SQLite inside
`apsw-sqlite3mc`), under a raw 32-byte key: deriving that key is the business of `keyslot`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from volok.store.secure_files import PRIVATE, sync_directory
from volok.store.vault import (
    Row,
    Transaction,
    Value,
    VaultBusy,
    VaultDamaged,
    VaultError,
    VaultFull,
    VaultTooNew,
    WrongPassphrase,
)

KEY_BYTES = 32
CACHE_BYTES = 24 << 20
"""The most memory that one connection takes for pages of the file; it grows with the vault."""
_PLAINTEXT_HEADER = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: the statements that lead from `version` - 1 to `version`."""

    version: int
    """Counted from 1; stored as PRAGMA user_version."""
    sql: tuple[str, ...]


@contextmanager
def sqlite_errors() -> Iterator[None]:
    """Turn the errors of SQLite into those of the vault contract."""
    try:
        yield
    except apsw.Error as error:
        raise _translated(error) from error


_KINDS = (
    (apsw.FullError, VaultFull),
    (apsw.NotADBError, WrongPassphrase),
    (apsw.CorruptError, VaultDamaged),
    (apsw.BusyError, VaultBusy),
)


def _translated(error: apsw.Error) -> VaultError:
    # Where SQLite sizes its shared-memory file, a full disk comes as an I/O error.
    if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE:
        return VaultFull()
    for kind, ours in _KINDS:
        if isinstance(error, kind):
            return ours()
    if isinstance(error, apsw.IOError | apsw.CantOpenError):
        return VaultError("The vault's file cannot be read or written.")
    return VaultError(f"The vault refused a statement ({type(error).__name__}).")


class SqliteTransaction(Transaction):
    """A cursor with the errors of the contract."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._cursor = connection.cursor()

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """See Transaction. Raises VaultError and its kinds."""
        try:
            return self._cursor.execute(sql, parameters).fetchall()
        except apsw.Error as error:
            raise _translated(error) from error

    def many(self, sql: str, parameters: Sequence[Sequence[Value]]) -> None:
        """See Transaction. Raises VaultError and its kinds."""
        try:
            self._cursor.executemany(sql, parameters).fetchall()
        except apsw.Error as error:
            raise _translated(error) from error


def connect(path: Path, key: bytes | None) -> apsw.Connection:
    """Open the file, or create it with mode 0600, and prove that the key is the right one.

    `key` is 32 bytes; None leaves the file unencrypted, which only tests may want. Nothing in an
    existing file is changed. Raises WrongPassphrase (also for a file that is no vault),
    VaultDamaged, VaultFull, VaultError.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE))
        sync_directory(path.parent)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise VaultFull from error
        raise VaultError("The vault's file cannot be opened.") from error
    with sqlite_errors():
        connection = apsw.Connection(
            os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=256
        )
        try:
            if key is not None:
                _set_key(connection, key)
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        except BaseException:
            connection.close(True)
            raise
    return connection


def _set_key(connection: apsw.Connection, key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError("A vault key has 32 bytes.")
    connection.execute("PRAGMA cipher = 'chacha20'").fetchall()
    # The prefix raw: skips the key derivation of the cipher; the key must not stay in a cache.
    answer = connection.execute(f"PRAGMA key = 'raw:{key.hex()}'", can_cache=False).fetchall()
    if answer != [("ok",)]:
        raise VaultError("This build of SQLite cannot encrypt.")


def prepare_writer(
    connection: apsw.Connection, migrations: Sequence[Migration], encrypted: bool
) -> None:
    """Bring the schema up to date and set what a writer needs.

    Raises VaultTooNew before anything is changed; VaultFull and VaultError leave the old version.
    """
    with sqlite_errors():
        _check_version(connection, migrations)
        connection.set_busy_timeout(5_000)
        _configure(connection)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        # FULL syncs the log at every commit; NORMAL would lose commits with the power.
        connection.execute("PRAGMA synchronous = FULL").fetchall()
        connection.execute("PRAGMA secure_delete = ON").fetchall()
        _migrate(connection, migrations)
    cut_log(connection)
    if encrypted:
        with Path(connection.filename).open("rb") as file:
            if file.read(len(_PLAINTEXT_HEADER)) == _PLAINTEXT_HEADER:
                raise VaultError("This build of SQLite did not encrypt the vault.")


def prepare_reader(connection: apsw.Connection) -> None:
    """Set what a reader needs: it can change nothing."""
    with sqlite_errors():
        connection.set_busy_timeout(5_000)
        _configure(connection)
        connection.execute("PRAGMA query_only = ON").fetchall()


def _configure(connection: apsw.Connection) -> None:
    # Sorts and temporary tables never reach a disk, where they would not be encrypted.
    connection.execute("PRAGMA temp_store = MEMORY").fetchall()
    connection.execute("PRAGMA foreign_keys = ON").fetchall()
    # Whatever is not in the cache is read and decrypted again, page by page.
    connection.execute(f"PRAGMA cache_size = -{CACHE_BYTES // 1024}").fetchall()


def _check_version(connection: apsw.Connection, migrations: Sequence[Migration]) -> None:
    versions = [migration.version for migration in migrations]
    if versions != list(range(1, len(versions) + 1)):
        raise ValueError("Migrations are numbered 1, 2, 3 and so on.")
    if schema_version(connection) > len(versions):
        raise VaultTooNew


def schema_version(connection: apsw.Connection) -> int:
    """The number of the last migration that this file went through; 0 for a new file."""
    return int(str(connection.pragma("user_version")))


def _migrate(connection: apsw.Connection, migrations: Sequence[Migration]) -> None:
    todo = [step for step in migrations if step.version > schema_version(connection)]
    if not todo:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in todo:
            for statement in step.sql:
                connection.execute(statement).fetchall()
            connection.execute(f"PRAGMA user_version = {step.version}").fetchall()
        connection.execute("COMMIT")
    finally:
        abandon(connection)


def cut_log(connection: apsw.Connection) -> bool:
    """Write the log back and truncate it; False when a reader or a full disk is in the way.

    Until it succeeds, what was deleted since the last time may stand in the log.
    """
    try:
        ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except apsw.Error:
        return False
    return bool(busy == 0)


def abandon(connection: apsw.Connection) -> None:
    """Roll back what is open, if anything is: SQLite may have done so itself after an error."""
    if connection.in_transaction:
        connection.execute("ROLLBACK").fetchall()

"""A vault of every version that was ever written must open for ever.

A fixture is made once, by the program of its time:

    python tests/store/test_vault_old_states.py

and never made again: it refuses to touch one that is there.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from volok.model.crypto import hkdf
from volok.native import NativeCrypto
from volok.store.keyslot import VAULT_LABEL, KeySlot
from volok.store.vault_connection import Migration
from volok.store.vault_sqlite import SqliteVault

FIXTURE = Path(__file__).parent.parent / "old_states" / "vault_v1"
PASSPHRASE = "во́лок 1"
SCHEMA = (
    Migration(
        1,
        (
            "CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT)",
            "CREATE VIRTUAL TABLE word USING fts5(text)",
            "INSERT INTO word(word, rank) VALUES('secure-delete', 1)",
        ),
    ),
)


async def test_version_1_opens(tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(FIXTURE, home)
    master = KeySlot(home / "keyslot.json", NativeCrypto()).unlock(PASSPHRASE)
    vault = await SqliteVault.open(home / "vault.db", hkdf(master, VAULT_LABEL), SCHEMA)
    rows = await vault.read(
        lambda tx: tx.execute(
            "SELECT note.text FROM note JOIN word ON word.rowid = id WHERE word MATCH 'boat'"
        )
    )
    await vault.close()
    assert rows == [("the boat is carried",)]


async def make() -> None:
    FIXTURE.mkdir(parents=True)
    master = KeySlot(FIXTURE / "keyslot.json", NativeCrypto()).create(PASSPHRASE)
    vault = await SqliteVault.open(FIXTURE / "vault.db", hkdf(master, VAULT_LABEL), SCHEMA)
    for text in ("the river is blocked", "the boat is carried"):
        await vault.transact(
            lambda tx, t=text: tx.execute("INSERT INTO note(text) VALUES(?)", (t,))
        )
        await vault.transact(
            lambda tx, t=text: tx.execute("INSERT INTO word(text) VALUES(?)", (t,))
        )
    await vault.close()


if __name__ == "__main__":
    asyncio.run(make())

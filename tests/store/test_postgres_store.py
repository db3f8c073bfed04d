"""PostgreSQL against the exported suite."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.store.cluster_servers import Postgres, postgres_server

from volok.native import NativeCrypto
from volok.store.conformance import CHECKS
from volok.store.conformance_tools import Check
from volok.store.key_file import KEY_FILE, KeyFile
from volok.store.postgres_store import PostgresStore
from volok.store.store import Store

CRYPTO = NativeCrypto()
EMPTY = """
TRUNCATE events, tags, tombstones, vanished, floors, erasures;
UPDATE store SET head = 0, last = 0, erased = 0, database = '\\x{}'
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def url(postgres: Postgres) -> str:
    return postgres.new_store()


LONG = {"check_any_order"}
"""It opens forty stores, one after the other."""


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            check, id=check.__name__, marks=[pytest.mark.full] if check.__name__ in LONG else []
        )
        for check in CHECKS
    ],
)
async def test_conformance(check: Check, url: str, tmp_path: Path) -> None:
    names = itertools.count()

    async def make_store() -> Store:
        folder = tmp_path / str(next(names))
        folder.mkdir()
        # To empty the tables is quicker than to make them, which the first one does.
        connection = await asyncpg.connect(url)
        if await connection.fetchval("SELECT to_regclass('store')"):
            keys = KeyFile.open(folder / KEY_FILE, CRYPTO.random)
            await connection.execute(EMPTY.format(keys.secrets.database.hex()))
            keys.close()
        await connection.close()
        return await PostgresStore.open(url, folder, CRYPTO)

    await check(make_store)

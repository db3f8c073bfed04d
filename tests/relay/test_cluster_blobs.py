"""Two relays with their blobs in one bucket of a real S3 service (moto's server)."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from tests.paths.drop_servers import BUCKET, S3Service, s3_service
from tests.relay.conftest import NOW, Clock, Person
from tests.relay.test_blossom import token, upload
from tests.store.test_s3_blobs import environment

from volok.native import NativeCrypto
from volok.relay.backends import backends
from volok.relay.run import run_relay
from volok.relay.settings import DAY, RelaySettings

DATA = os.urandom(300_000)
NAME = hashlib.sha256(DATA).hexdigest()
OWNER = Person(b"\x01" * 32)


@pytest.fixture
def service() -> Iterator[S3Service]:
    with s3_service() as running:
        yield running


async def test_uploaded_here_served_there_gone_everywhere(
    service: S3Service, tmp_path: Path
) -> None:
    shared = backends("", "", f"s3://{BUCKET}/blobs", NativeCrypto(), environment(service))
    settings, clock = RelaySettings(sweep_seconds=0.05, blob_days=1), Clock()
    async with AsyncExitStack() as stack:
        clients = []
        for name in ("one", "other"):
            address = await stack.enter_async_context(
                run_relay(
                    *("127.0.0.1", 0, tmp_path / name, settings, NativeCrypto(), clock),
                    backends=shared,
                )
            )
            client = httpx.AsyncClient(base_url=address.http_url)
            clients.append(await stack.enter_async_context(client))
        one, other = clients
        for end in ("deleted", "expired"):
            assert (await upload(one, OWNER, DATA)).status_code == 201
            got = await other.get(f"/{NAME}", headers={"Range": "bytes=65530-200000"})
            assert got.status_code == 206
            assert got.content == DATA[65_530:200_001]
            if end == "deleted":
                delete = token(OWNER, "delete", NAME)
                assert (await one.delete(f"/{NAME}", headers=delete)).is_success
            else:
                clock.now = NOW + 2 * DAY
                async with asyncio.timeout(10):
                    while (await one.head(f"/{NAME}")).is_success:
                        await asyncio.sleep(0.02)
            for client in clients:
                assert (await client.get(f"/{NAME}")).status_code == 404
            listed = service.client.list_objects_v2(Bucket=BUCKET)  # type: ignore[attr-defined]
            assert listed["KeyCount"] == 0
    left = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert not [path for path in left if DATA[:50] in path.read_bytes()]

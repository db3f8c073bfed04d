"""A file of 100 MB, the largest there is, arrives whole; the receiver is killed on the way."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.processes import NodeProcess, RelayProcess

from volok.app.errors import AppError

LIMIT = 100 * 1024 * 1024


async def test_a_file_of_100_mb(tmp_path: Path) -> None:
    relay = await RelayProcess.on(tmp_path / "relay")
    ana = await NodeProcess.of(tmp_path, "Ana", relay.url)
    bo = await NodeProcess.of(tmp_path, "Bo", relay.url)
    path = tmp_path / "large.bin"
    await asyncio.to_thread(path.write_bytes, os.urandom(LIMIT))
    try:
        async with ana.remote() as at_ana, bo.remote() as at_bo:
            invite = await at_ana.invite(7, False, None)
            await at_bo.accept(invite["link"])
            await _known(at_ana, "Bo")
            await at_ana.send("Bo", "large", [str(path)])
            await _file(bo, None, "progress")
        await bo.kill()
        await bo.start()
        saved = await _file(bo, str(tmp_path / "saved"), "path")
        assert await _digest(Path(saved["path"])) == await _digest(path)
        async with ana.remote() as at_ana:
            with path.open("ab") as file:
                file.write(b"one byte more")
            with pytest.raises(AppError, match="at most 100 MB"):
                await at_ana.send("Bo", "too large", [str(path)])
    finally:
        for process in (ana, bo, relay):
            await process.stop()


async def _known(remote: Any, name: str) -> None:
    while not any(person["name"] == name for person in await remote.contacts()):
        await asyncio.sleep(0.05)


async def _file(node: NodeProcess, save: str | None, field: str) -> dict[str, Any]:
    """The file of the only message, once it has this field (and it is not zero)."""
    async with node.remote() as remote:
        while True:
            messages = [m async for m in remote.read("Ana", None, False, save)]
            files = [file for message in messages for file in message["files"]]
            if files and files[0].get(field):
                return dict(files[0])
            await asyncio.sleep(0.1)


async def _digest(path: Path) -> str:
    data = await asyncio.to_thread(path.read_bytes)
    return hashlib.sha256(data).hexdigest()

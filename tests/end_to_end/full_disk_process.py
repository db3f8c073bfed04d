"""A conversation whose one side lives on the small disk at argv[1]; argv[2] is an ordinary folder.

Run in a mount namespace of its own by `test_bad_input`; the last line it prints is `nothing lost`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path

from tests.end_to_end.nodes import Person
from tests.end_to_end.processes import Died, NodeProcess, command
from tests.sync.world import OurRelay

from volok.app.errors import AppError
from volok.app.remote import Remote
from volok.app.shapes import Json

FULL = "The disk is full. Free some space and try again"


async def main(disk: Path, folder: Path) -> None:
    """What was queued before the disk was full arrives, once and in order; the rest was refused."""
    relay = OurRelay(folder / "relay")
    file = folder / "map.bin"
    file.write_bytes(bytes(range(256)) * 2000)
    async with relay.running() as url:
        ana = await NodeProcess.of(disk, "Ana", url)
        bo = await Person.with_relays(folder, "Bo", url)
        async with ana.remote() as at_ana:
            invite = await at_ana.invite(7, False, None)
            await bo.accept(invite["link"])
    async with ana.remote() as at_ana:
        queued = [f"before {number}" for number in range(3)]
        for text in queued:
            await at_ana.send("Bo", text, [])
        queued += await _fill(disk, at_ana)
        assert await _is_refused(at_ana.send("Bo", "does not fit", [str(file)]))
        lines = [line async for line in at_ana.read("Bo", None, False, None)]
        assert [line["text"] for line in lines if line["notice"] is None] == queued
    printed = await command("--home", str(ana.home), "send", "Bo", "by command")
    assert (printed.code, printed.out) == (1, ""), printed
    assert printed.err.startswith(FULL), printed.err

    # It comes back from a kill: on the full disk it may do without more, or say why not.
    await ana.kill()
    said = await _start(ana)
    assert not said or said.startswith(FULL), said
    (disk / "ballast").unlink()
    if said:
        await ana.start()
    async with relay.running(), ana.remote() as at_ana:
        await at_ana.send("Bo", "after", [str(file)])
        await bo.until_there("Ana", *queued, "after")
    await ana.stop()
    await bo.leave()
    print("nothing lost")


async def _start(node: NodeProcess) -> str:
    """Start a node; returns what it ended with, empty while it runs."""
    try:
        await node.start()
    except Died as died:
        return str(died).splitlines()[-1]
    return ""


async def _fill(disk: Path, remote: Remote) -> list[str]:
    """Write until not even a text fits; returns those that were still taken."""
    taken: list[str] = []
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            with suppress(OSError):
                while ballast.write(bytes(4096)):
                    pass
            text = f"nearly full {len(taken)}"
            if await _is_refused(remote.send("Bo", text, [])):
                return taken
            taken.append(text)


async def _is_refused(sending: Awaitable[Json]) -> bool:
    """Whether a message was refused; the sentence must say why."""
    try:
        await sending
    except AppError as error:
        if not str(error).startswith(FULL):
            raise
        return True
    return False


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))

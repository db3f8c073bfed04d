"""A conversation whose one side lives on the small disk at argv[1]; argv[2] is an ordinary folder.

Run in a mount namespace of its own by `test_bad_input`; the last line it prints is `nothing lost`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.end_to_end.processes import Died, NodeProcess, RelayProcess, command

from volok.app.errors import AppError

FULL = "The disk is full. Free some space and try again"


async def main(disk: Path, folder: Path) -> None:
    """What was queued before the disk was full arrives, once and in order; the rest was refused."""
    relay = await RelayProcess.on(folder / "relay")
    ana = await NodeProcess.of(disk, "Ana", relay.url)
    bo = await NodeProcess.of(folder, "Bo", relay.url)
    picture = folder / "picture.bin"
    picture.write_bytes(bytes(range(256)) * 2000)
    async with ana.remote() as at_ana, bo.remote() as at_bo:
        await at_bo.accept((await at_ana.invite(7, False, None))["link"])
        async for line in at_ana.read("Bo", None, True, None):
            if line["notice"] == "contact-added":
                break
        await relay.kill()
        kept = [f"before {number}" for number in range(3)]
        for text in kept:
            await at_ana.send("Bo", text, [])
        kept += await _fill(disk, at_ana)
        assert await _is_refused(at_ana.send("Bo", "does not fit", [str(picture)]))
        assert await _texts(at_ana, "Bo") == kept
    printed = await command("--home", str(ana.home), "send", "Bo", "by command")
    assert (printed.code, printed.out) == (1, ""), printed
    assert printed.err.startswith(FULL), printed.err

    await ana.kill()
    with suppress(Died):  # it may start on a full disk, or say why not
        await ana.start()
    (disk / "ballast").unlink()
    await ana.kill()
    await ana.start()
    await relay.start()
    async with ana.remote() as at_ana, bo.remote() as at_bo:
        await at_ana.send("Bo", "after", [str(picture)])
        kept.append("after")
        async with asyncio.timeout(30):
            async for line in at_bo.read("Ana", None, True, None):
                if line["text"] == "after":
                    break
        assert await _texts(at_bo, "Ana") == kept
    for process in (ana, bo, relay):
        await process.stop()
    print("nothing lost")


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


async def _texts(remote: Remote, who: str) -> list[str]:
    lines = [line async for line in remote.read(who, None, False, None)]
    return [line["text"] for line in lines if line["notice"] is None]


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))

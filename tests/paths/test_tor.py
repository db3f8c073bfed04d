"""Finding a Tor, starting one, and what is said when that does not succeed.

A real network carries messages in tests/end_to_end/test_onion.py."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.tor_network import TOR

from volok.paths.live import PathError
from volok.paths.tor import Tor, TorMissing, TorPath, TorSettings, find_running, is_onion
from volok.paths.tor_bridge import parse_bridge
from volok.paths.tor_process import (
    TorFailed,
    TorProcess,
    TorProcessSettings,
    TorStarting,
    write_torrc,
)

ONION = f"ws://{'a' * 56}.onion"
QUICK = TorProcessSettings(control_wait=10.0, join_wait=0.2, pause_first=0.1)
real = pytest.mark.skipif(TOR is None, reason="no Tor here")
# It joins nothing: no packet leaves this computer.
ALONE = "DisableNetwork 1\n"


@contextlib.asynccontextmanager
async def listener(answer: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as made:
        yield made.sockets[0].getsockname()[1]


def tor_in(folder: Path, **options: object) -> Tor:
    settings = TorSettings(ports=(), process=QUICK)
    return Tor(folder, os.urandom, settings=settings, **options)  # type: ignore[arg-type]


async def test_a_running_one_is_told_from_other_programs() -> None:
    said = b"HTTP/1.0 501 Tor is not an HTTP Proxy\r\n\r\n"
    async with listener(b"\x05\xff") as other, listener(said) as right, listener(b"") as silent:
        settings = TorSettings(ports=(1, other, silent, right), look_wait=0.5)
        assert await find_running(settings) == ("127.0.0.1", right)
        assert await find_running(TorSettings(ports=(1, other, silent), look_wait=0.5)) is None


@real
async def test_a_real_one_is_found_and_ends_with_us(tmp_path: Path) -> None:
    folder = tmp_path / 'a "quoted" folder'
    folder.mkdir()
    (folder / "torrc.local").write_text(ALONE)
    own = TorProcess(str(TOR), folder, os.urandom, settings=QUICK)
    with pytest.raises(TorStarting, match="0 %"):
        await own.ready()
    control = await own.control()
    pid = int((await control.ask("GETINFO process/pid"))[0].partition("=")[2])
    assert (folder.stat().st_mode & 0o777) == 0o700
    await own.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(TorFailed, match="stopped"):
        await own.control()


@real
async def test_one_that_is_killed_is_started_again_after_a_pause(tmp_path: Path) -> None:
    (tmp_path / "torrc.local").write_text(ALONE)
    own = TorProcess(str(TOR), tmp_path, os.urandom, settings=QUICK)
    control = await own.control()
    pid = int((await control.ask("GETINFO process/pid"))[0].partition("=")[2])
    os.kill(pid, 9)
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(TorFailed):
                if await own.control() is not control:
                    break
            await asyncio.sleep(0.05)
    await own.close()


@real
async def test_what_a_person_wrote_wrongly(tmp_path: Path) -> None:
    (tmp_path / "torrc.local").write_text("Nonsense 1\n")
    own = TorProcess(str(TOR), tmp_path, os.urandom, settings=QUICK)
    with pytest.raises(TorFailed, match=r"torrc\.local"):
        await own.control()
    with pytest.raises(TorFailed, match=r"torrc\.local"):  # at once: it rests
        await own.control()
    await own.close()


async def test_where_there_is_none(tmp_path: Path) -> None:
    nowhere = tor_in(tmp_path, find=lambda _: None)
    with pytest.raises(TorMissing, match="apt install tor"):
        await nowhere.check()
    with pytest.raises(TorMissing):
        await TorPath(nowhere).websocket(ONION)
    bridges = [parse_bridge("webtunnel 192.0.2.1:1 url=https://a.example/")]
    without_client = tor_in(
        tmp_path, bridges=bridges, find=lambda name: "/bin/false" if name == "tor" else None
    )
    with pytest.raises(PathError, match="speaks webtunnel"):
        await without_client.check()
    broken = TorPath(tor_in(tmp_path, find=lambda _: "/bin/false"))
    with pytest.raises(TorFailed, match="ended as soon"):
        await broken.websocket(ONION)
    await broken.close()


async def test_one_that_went_away(tmp_path: Path) -> None:
    path = TorPath(tor_in(tmp_path, socks=("127.0.0.1", 1)))
    for url in (ONION, "wss://relay.example/"):
        with pytest.raises(PathError, match="does not run any more"):
            await path.websocket(url)
    with pytest.raises(PathError, match="does not run any more"):
        async with path.request("GET", ONION.replace("ws", "http", 1), {}):
            pass
    with pytest.raises(PathError, match="only to relays"):
        async with path.request("GET", "http://relay.example/", {}):
            pass
    assert path.capabilities.hides_address
    assert path.separates(ONION)
    await path.close()


async def test_every_connection_has_a_login_of_its_own(tmp_path: Path) -> None:
    logins: list[bytes] = []

    async def socks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(3) == b"\x05\x01\x02"
        writer.write(b"\x05\x02")
        await reader.readexactly(1)
        logins.append(await reader.readexactly((await reader.readexactly(1))[0]))
        writer.close()

    async with await asyncio.start_server(socks, "127.0.0.1", 0) as server:
        place = server.sockets[0].getsockname()[:2]
        path = TorPath(tor_in(tmp_path, socks=place))
        for _ in range(3):
            with pytest.raises(PathError):
                await path.websocket(ONION)
            with pytest.raises(PathError):
                async with path.request("GET", ONION.replace("ws", "http", 1), {}):
                    pass
        await path.close()
    assert len(set(logins)) == len(logins) == 6


def test_onion_hosts() -> None:
    assert all(map(is_onion, (ONION, "https://a.ONION:80/x", "wss://b.a.onion./")))
    assert not any(map(is_onion, ("wss://onion.example", "wss://aonion", "", "http://[")))


def test_what_a_tor_reads(tmp_path: Path) -> None:
    bridges = [parse_bridge("obfs4 192.0.2.1:443 cert=x iat-mode=0")]
    text = write_torrc(tmp_path, bridges, {"obfs4": "/usr/bin/obfs4proxy"}, 42)
    assert "__OwningControllerProcess 42\n" in text
    assert "UseBridges 1\nClientTransportPlugin obfs4 exec /usr/bin/obfs4proxy\n" in text
    assert "Bridge obfs4 192.0.2.1:443 cert=x iat-mode=0\n" in text
    assert "%include" not in text
    assert "UseBridges" not in write_torrc(tmp_path, [], {}, 42)

"""Paths over pluggable transports: obfs4proxy on both sides, and what goes wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.relay.covered import Covered, covered

from volok.model.relay_link import split_fragment
from volok.model.transport import Transport
from volok.paths.direct import DirectSettings
from volok.paths.live import PathError
from volok.paths.pt_process import ProgramSettings
from volok.paths.transport import TransportPath, TransportSettings, login_of, transport_of
from volok.relay.transports import TransportWish, transports

OBFS4PROXY = shutil.which("obfs4proxy")
real = pytest.mark.skipif(OBFS4PROXY is None, reason="no obfs4proxy here")


@contextlib.asynccontextmanager
async def relay(folder: Path) -> AsyncIterator[tuple[Covered, str]]:
    """A relay behind obfs4, and its address, at which nothing but the transport answers."""
    async with covered(folder) as made:
        target = made.address.host, made.address.port
        wishes = [TransportWish("obfs4", "")]
        async with transports(wishes, folder, "127.0.0.1", target) as running:
            yield made, with_transport(made, running[0])


def with_transport(made: Covered, transport: Transport) -> str:
    plain, pin = split_fragment(made.link)
    assert pin is not None
    nowhere = plain.replace(f":{made.address.port}/", ":1/")
    return f"{nowhere}#{replace(pin, transports=(transport,)).to_text()}"


def path_in(folder: Path, wait: float = 5.0) -> TransportPath:
    settings = TransportSettings(DirectSettings(open_timeout=wait), ProgramSettings())
    return TransportPath("obfs4", folder / "client", settings)


@real
async def test_a_websocket_and_a_request(tmp_path: Path) -> None:
    async with relay(tmp_path / "relay") as (_, url):
        path = path_in(tmp_path)
        assert path.fits(url)
        assert not path.fits(url.partition("&pt=")[0])
        socket = await path.websocket(url)
        await socket.ping()
        await socket.close()
        about = url.replace("wss:", "https:", 1)
        headers = {"accept": "application/nostr+json"}
        async with path.request("GET", about, headers) as response:
            assert response.status == 200
            assert b"supported_nips" in b"".join([piece async for piece in response.body])
        await path.close()


@real
async def test_a_wrong_key_and_nobody_there(tmp_path: Path) -> None:
    async with relay(tmp_path / "relay") as (made, url):
        path = path_in(tmp_path, 3.0)
        transport = transport_of(url, "obfs4")
        assert transport is not None
        (_, cert), mode = transport.parameters
        other = ("cert", "A" * len(cert))
        for wrong, said in (
            # A server that cannot see that we know its key says nothing at all.
            (replace(transport, parameters=(other, mode)), "in time|get through"),
            (replace(transport, parameters=()), "get through"),
            (replace(transport, port=1), "get through"),
        ):
            with pytest.raises(PathError, match=said):
                await path.websocket(with_transport(made, wrong))
        # The right one is not the worse for it.
        await (await path.websocket(url)).close()
        await path.close()


@real
async def test_whoever_is_behind_it_has_to_hold_the_relays_key(tmp_path: Path) -> None:
    async with relay(tmp_path / "one") as (_, url), covered(tmp_path / "other") as other:
        transport = transport_of(url, "obfs4")
        assert transport is not None
        path = path_in(tmp_path)
        with pytest.raises(PathError, match="certificate"):
            await path.websocket(with_transport(other, transport))
        await path.close()


@real
async def test_its_key_and_port_stay_and_it_is_started_again(tmp_path: Path) -> None:
    target, wishes = ("127.0.0.1", 9), [TransportWish("obfs4", "")]
    async with transports(wishes, tmp_path, "127.0.0.1", target) as first:
        pass
    async with transports(wishes, tmp_path, "127.0.0.1", target, first) as second:
        assert second == first
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                environment = (process / "environ").read_bytes()
                if f"TOR_PT_STATE_LOCATION={tmp_path}".encode() in environment:
                    os.kill(int(process.name), 9)
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", first[0].port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)


async def test_without_a_program_and_with_one_that_fails(tmp_path: Path) -> None:
    url = f"wss://127.0.0.1:1/x#{'A' * 22}&pt=obfs4;:1;cert=x"
    settings = TransportSettings(program=ProgramSettings(start_wait=0.5))
    missing = TransportPath("obfs4", tmp_path, settings, lambda _: None)
    assert not missing.fits(url)
    with pytest.raises(PathError, match="Install lyrebird or obfs4proxy"):
        await missing.websocket(url)
    for program in ("/bin/false", "/usr/bin/yes"):
        path = TransportPath("obfs4", tmp_path, settings, lambda _, found=program: found)
        assert path.fits(url)
        with pytest.raises(PathError, match="The program for obfs4 fails"):
            await path.websocket(url)
        with pytest.raises(PathError, match="The program for obfs4 fails"):
            async with path.request("GET", url.replace("wss", "https"), {}):
                pass
        await path.close()


def test_an_address_chooses_no_program() -> None:
    asked: list[str] = []

    def find(name: str) -> str | None:
        asked.append(name)
        return None

    for name in ("sh", "reboot", "obfs4"):
        url = f"wss://127.0.0.1:1/x#{'A' * 22}&pt={name};:1"
        assert not TransportPath(name, Path("/nonexistent"), find=find).fits(url)
    assert set(asked) == {"lyrebird", "obfs4proxy"}


def test_long_parameters_go_into_user_name_and_password() -> None:
    short = login_of(Transport("obfs4", "", 1))
    assert (short.user, short.password) == (b"\0", b"\0")
    long = login_of(Transport("obfs4", "", 1, (("a", "x" * 300),)))
    assert (len(long.user), len(long.password)) == (255, 47)
    assert long.user + long.password == b"a=" + b"x" * 300

"""SOCKS5: what is said, and servers that say something else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.paths.socks import Login, SocksRefused, connect_request, login_request, through


@contextlib.asynccontextmanager
async def server(*answers: bytes) -> AsyncIterator[tuple[tuple[str, int], list[bytes]]]:
    """Gives one answer to each thing that is said; what comes after them is told back."""
    said: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for one in answers:
            said.append(await reader.read(1000))
            writer.write(one)
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as made:
        yield made.sockets[0].getsockname()[:2], said


async def test_a_connection_with_a_login() -> None:
    granted = b"\x05\x00\x00\x03\x04host\x00\x50"
    async with server(b"\x05\x02", b"\x01\x00", granted + b"hello") as (place, said):
        made = await through(place, "example.onion", 80, Login(b"user", b"x"))
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(made, 100) == b"hello"  # nothing of it was taken away
        await loop.sock_sendall(made, b"ping")
        assert await loop.sock_recv(made, 100) == b"ping"
        made.close()
    assert said == [
        b"\x05\x01\x02",  # no way without a login is offered
        b"\x01\x04user\x01x",
        b"\x05\x01\x00\x03\x0dexample.onion\x00\x50",
    ]


async def test_a_connection_without() -> None:
    granted = b"\x05\x00\x00\x04" + bytes(16) + b"\x00\x50"
    async with server(b"\x05\x00", granted) as (place, said):
        (await through(place, "192.0.2.7", 443)).close()
    assert said == [b"\x05\x01\x00", b"\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"]


@pytest.mark.parametrize(
    ("answers", "reply"),
    [
        ((b"\x05\x00",), -1),  # it leaves the login out, and with it what keeps circuits apart
        ((b"\x05\xff",), -1),
        ((b"HT",), -1),
        ((b"\x05\x02", b"\x01\x01"), 255),
        ((b"\x05\x02", b"\x01\x00", b"\x05\x04\x00\x01" + bytes(6)), 4),
        ((b"\x05\x02", b"\x01\x00", b"HTTP"), -1),
    ],
)
async def test_refusals(answers: tuple[bytes, ...], reply: int) -> None:
    async with server(*answers) as (place, _):
        with pytest.raises(SocksRefused) as caught:
            await through(place, "example.onion", 80, Login(b"user", b"x"))
    assert caught.value.reply == reply
    assert "onion" not in str(caught.value)


async def test_nobody_and_one_who_leaves() -> None:
    with pytest.raises(ConnectionRefusedError):
        await through(("127.0.0.1", 1), "example.onion", 80)

    async def leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(leave, "127.0.0.1", 0) as made:
        with pytest.raises(ConnectionResetError):
            await through(made.sockets[0].getsockname()[:2], "example.onion", 80)


@given(st.text(max_size=300), st.binary(max_size=300), st.binary(max_size=300))
def test_what_does_not_fit_is_a_value_error(host: str, user: bytes, password: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert connect_request(host, 80)[:3] == b"\x05\x01\x00"
    with contextlib.suppress(ValueError):
        assert len(login_request(Login(user, password))) == 3 + len(user) + len(password)

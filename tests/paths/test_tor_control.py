"""The control protocol: what Tor says, and what others say in its place.

Real Tors answer in tests/end_to_end/test_onion.py."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from volok.paths.tor_control import TorControl, TorControlError, parse_onion_key

ADDRESS, KEY = "a" * 56, "ED25519-V3:" + "A" * 86 + "=="
COOKIE = bytes(range(32))
Answer = Callable[[str], bytes]


def random(count: int) -> bytes:
    return bytes(count)


@contextlib.asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(answer(line.decode().strip()))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as made:
        yield f"127.0.0.1:{made.sockets[0].getsockname()[1]}"


def tor(cookie: Path, **answers: bytes) -> Answer:
    """Answers as Tor does."""
    nonce = bytes(31) + b"\x01"

    def answer(line: str) -> bytes:
        word, _, rest = line.partition(" ")
        if word in answers:
            return answers[word]
        if word == "PROTOCOLINFO":
            about = f'250-AUTH METHODS=COOKIE,SAFECOOKIE COOKIEFILE="{cookie}"'
            return f'250-PROTOCOLINFO 1\r\n{about}\r\n250-VERSION Tor="0"\r\n250 OK\r\n'.encode()
        if word == "AUTHCHALLENGE":
            message = COOKIE + bytes.fromhex(rest.split(" ")[1]) + nonce
            key = b"Tor safe cookie authentication server-to-controller hash"
            digest = hmac.digest(key, message, "sha256").hex().upper()
            said = f"250 AUTHCHALLENGE SERVERHASH={digest} SERVERNONCE={nonce.hex().upper()}"
            return f"{said}\r\n".encode()
        if word == "AUTHENTICATE":
            message = COOKIE + bytes(32) + nonce
            key = b"Tor safe cookie authentication controller-to-server hash"
            right = rest == hmac.digest(key, message, "sha256").hex()
            return b"250 OK\r\n" if right else b"515 no\r\n"
        return b"250 OK\r\n"

    return answer


@pytest.fixture
def cookie(tmp_path: Path) -> Path:
    made = tmp_path / 'a "cookie"'
    made.write_bytes(COOKIE)
    return tmp_path / 'a \\"cookie\\"'


async def test_logging_in_and_asking(cookie: Path) -> None:
    listeners = b'250-net/listeners/socks="127.0.0.1:1" "unix:/x" "[::1]:2"\r\n250 OK\r\n'
    async with server(tor(cookie, GETINFO=listeners)) as place:
        control = await TorControl.open(place, random)
        assert await control.socks_listeners() == [("127.0.0.1", 1), ("::1", 2)]
        with pytest.raises(TorControlError):
            await control.ask("GETINFO x\r\nSIGNAL HALT")
        await control.close()


async def test_more_lines_and_events_in_between(cookie: Path) -> None:
    circuits = (
        b'650 BW 1 2\r\n250+circuit-status=\r\n1 BUILT $A SOCKS_USERNAME="u" x\r\n'
        b"2 EXTENDED $B\r\n3 BUILT $C\r\n.\r\n250 OK\r\n"
    )
    async with server(tor(cookie, GETINFO=circuits)) as place:
        control = await TorControl.open(place, random)
        assert await control.circuits() == [("1", "u"), ("3", "")]
        await control.close()


async def test_onion_services(cookie: Path) -> None:
    made = f"250-ServiceID={ADDRESS}\r\n250-PrivateKey={KEY}\r\n250 OK\r\n".encode()
    async with server(tor(cookie, ADD_ONION=made)) as place:
        control = await TorControl.open(place, random)
        key = await control.publish(None, 80, ("127.0.0.1", 7))
        assert (key.address, key.key) == (ADDRESS, KEY)
        assert await control.publish(key, 80, ("127.0.0.1", 7)) == key
        with pytest.raises(TorControlError):
            await control.publish(parse_onion_key("b" * 56, KEY), 80, ("127.0.0.1", 7))
        await control.close()


@pytest.mark.parametrize(
    "answers",
    [
        {"PROTOCOLINFO": b"HTTP/1.0 400 Bad Request\r\n\r\n"},
        {"PROTOCOLINFO": b"x" * 100_000},
        {"PROTOCOLINFO": b"250-x\r\n" * 1000},
        {"PROTOCOLINFO": b"250+x\r\n" + b"y\r\n" * 1000},
        {"PROTOCOLINFO": b"250-AUTH METHODS=HASHEDPASSWORD\r\n250 OK\r\n"},
        {"PROTOCOLINFO": b'250-AUTH METHODS=SAFECOOKIE COOKIEFILE="/etc/passwd"\r\n250 OK\r\n'},
        {"PROTOCOLINFO": b'250-AUTH METHODS=SAFECOOKIE COOKIEFILE="/dev/zero"\r\n250 OK\r\n'},
        {"PROTOCOLINFO": b'250-AUTH METHODS=SAFECOOKIE COOKIEFILE="/\0"\r\n250 OK\r\n'},
        {"AUTHCHALLENGE": b"250 AUTHCHALLENGE SERVERHASH=00 SERVERNONCE=00\r\n"},
        # One who does not know the cookie is told nothing that depends on it.
        {
            "AUTHCHALLENGE": b"250 AUTHCHALLENGE SERVERHASH="
            + b"0" * 64
            + b" SERVERNONCE="
            + b"0" * 64
            + b"\r\n",
            "AUTHENTICATE": b"250 OK\r\n",
        },
        {"AUTHENTICATE": b"515 Bad authentication\r\n"},
    ],
)
async def test_one_that_is_no_tor(cookie: Path, answers: dict[str, bytes]) -> None:
    async with server(tor(cookie, **answers)) as place:
        with pytest.raises(TorControlError):
            await TorControl.open(place, random, 2.0)


async def test_nobody_and_one_that_says_nothing(cookie: Path) -> None:
    for place in ("127.0.0.1:1", "/nonexistent/socket", "nonsense", "127.0.0.1:x"):
        with pytest.raises(TorControlError):
            await TorControl.open(place, random, 1.0)
    async with server(tor(cookie, GETINFO=b"")) as place:
        control = await TorControl.open(place, random, 0.3)
        with pytest.raises(TorControlError, match="does not answer"):
            await control.bootstrapped()
        await control.close()


@pytest.mark.parametrize("pair", [(None, KEY), ("a", KEY), ("A" * 56, KEY), (ADDRESS, "x"), (1, 2)])
def test_keys(pair: tuple[object, object]) -> None:
    with pytest.raises(TorControlError):
        parse_onion_key(*pair)

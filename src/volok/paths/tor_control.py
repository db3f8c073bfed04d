"""A client of Tor's control protocol (control-spec), as far as paths and onion services need it.

1. One command at a time; its answer is a list of lines, the last of which begins with a code and a
   space. 250 is success. What Tor says unasked (650) is not subscribed to, and dropped.
2. Logging in is by cookie, in the form in which whoever answers has to know the cookie, too
   (SAFECOOKIE, section 3.24), or with nothing at all where Tor asks for nothing.
3. Whatever answers: lines, their number and the time for an answer are bounded.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MOST_LINE = 8192
_MOST_LINES = 200
_WAIT = 15.0
_COOKIE_BYTES = 32
_NONCE_BYTES = 32
_SERVER_KEY = b"Tor safe cookie authentication server-to-controller hash"
_CLIENT_KEY = b"Tor safe cookie authentication controller-to-server hash"

_LINE = re.compile(r"([0-9]{3})([ +-])(.*)", re.DOTALL)
_COOKIE_FILE = re.compile(r'COOKIEFILE="((?:[^"\\]|\\.)*)"')
_METHODS = re.compile(r"METHODS=([A-Z,]+)")
_CHALLENGE = re.compile(r"AUTHCHALLENGE SERVERHASH=([0-9A-F]{64}) SERVERNONCE=([0-9A-F]{64})")
_ONION = re.compile(r"[a-z2-7]{56}")
_KEY = re.compile(r"ED25519-V3:[A-Za-z0-9+/]{86}==")
_BOOTSTRAP = re.compile(r"PROGRESS=([0-9]{1,3})\b")


class TorControlError(OSError):
    """Tor does not do what it is asked to."""


@dataclass(frozen=True, slots=True)
class OnionKey:
    """An onion service: its address and the key that makes it ours."""

    address: str
    """56 characters, without `.onion`."""
    key: str
    """As ADD_ONION takes it: `ED25519-V3:` and the expanded secret key in base64."""


def parse_onion_key(address: object, key: object) -> OnionKey:
    """Check what was kept or came from Tor. Raises TorControlError."""
    if not (isinstance(address, str) and isinstance(key, str)):
        raise TorControlError("This is not the key of an onion service.")
    if not (_ONION.fullmatch(address) and _KEY.fullmatch(key)):
        raise TorControlError("This is not the key of an onion service.")
    return OnionKey(address, key)


class TorControl:
    """An open and authenticated control connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: float = _WAIT
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._wait = wait
        self._turn = asyncio.Lock()

    @classmethod
    async def open(
        cls, place: str, random: Callable[[int], bytes], wait: float = _WAIT
    ) -> TorControl:
        """Connect to HOST:PORT or to the path of a socket, and log in; `random` gives so many
        random bytes, `wait` is how many seconds Tor has for each answer. Raises TorControlError."""
        try:
            async with asyncio.timeout(wait):
                if place.startswith("/"):
                    pair = await asyncio.open_unix_connection(place, limit=_MOST_LINE)
                else:
                    host, _, port = place.rpartition(":")
                    pair = await asyncio.open_connection(
                        host.strip("[]"), int(port), limit=_MOST_LINE
                    )
        except (OSError, ValueError, TimeoutError) as error:
            raise TorControlError("Nothing answers at Tor's control port.") from error
        control = cls(*pair, wait)
        try:
            await control._log_in(random)
        except BaseException:
            await control.close()
            raise
        return control

    async def close(self) -> None:
        """Close it. What was published over it ends."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def ended(self) -> None:
        """Return when Tor has closed the connection; nothing may be asked meanwhile."""
        async with self._turn:
            with suppress(OSError):
                while await self._reader.read(_MOST_LINE):
                    pass

    async def ask(self, command: str) -> list[str]:
        """Give one command; the lines of the answer, without codes. Raises TorControlError."""
        if "\r" in command or "\n" in command:
            raise TorControlError("This is no command.")
        async with self._turn:
            try:
                async with asyncio.timeout(self._wait):
                    self._writer.write(command.encode() + b"\r\n")
                    await self._writer.drain()
                    return await self._answer()
            except TorControlError:
                raise
            except (
                OSError,
                TimeoutError,
                asyncio.IncompleteReadError,
                asyncio.LimitOverrunError,
            ) as error:
                raise TorControlError("Tor does not answer at its control port.") from error

    async def socks_listeners(self) -> list[tuple[str, int]]:
        """Addresses and ports at which Tor takes SOCKS over TCP. Raises TorControlError."""
        found: list[tuple[str, int]] = []
        for line in await self.ask("GETINFO net/listeners/socks"):
            for place in re.findall(r'"([^"]*)"', line):
                host, _, port = place.rpartition(":")
                if port.isdigit() and not place.startswith("unix:"):
                    found.append((host.strip("[]"), int(port)))
        return found

    async def bootstrapped(self) -> int:
        """How far Tor has come in joining its network, in percent. Raises TorControlError."""
        for line in await self.ask("GETINFO status/bootstrap-phase"):
            if match := _BOOTSTRAP.search(line):
                return min(100, int(match[1]))
        return 0

    async def circuits(self) -> list[tuple[str, str]]:
        """The open circuits: number and the user name that it is kept for ("": none)."""
        found = []
        for line in await self.ask("GETINFO circuit-status"):
            words = line.removeprefix("circuit-status=").split(" ")
            if len(words) > 1 and words[1] == "BUILT":
                users = re.findall(r'SOCKS_USERNAME="([^"]*)"', line)
                found.append((words[0], users[0] if users else ""))
        return found

    async def publish(self, key: OnionKey | None, port: int, target: tuple[str, int]) -> OnionKey:
        """Publish an onion service on a virtual port for as long as this connection lasts; a new
        one without a key. Raises TorControlError."""
        host = f"[{target[0]}]" if ":" in target[0] else target[0]
        wanted = key.key if key is not None else "NEW:ED25519-V3"
        lines = await self.ask(f"ADD_ONION {wanted} Port={port},{host}:{target[1]}")
        said = dict(line.partition("=")[::2] for line in lines)
        made = parse_onion_key(said.get("ServiceID"), said.get("PrivateKey", wanted))
        if key is not None and made.address != key.address:
            raise TorControlError("This is not the key of an onion service.")
        return made

    async def announce(
        self, key: OnionKey, port: int, target: tuple[str, int], wait: float
    ) -> bool:
        """As `publish`; returns whether within so many seconds the network has taken up where the
        service is to be found. Raises TorControlError."""
        await self.ask("SETEVENTS HS_DESC")
        await self.publish(key, port, target)
        found = await self._heard(f"HS_DESC UPLOADED {key.address}", wait)
        await self.ask("SETEVENTS")
        return found

    async def unpublish(self, key: OnionKey) -> None:
        """Take an onion service away again. Raises TorControlError."""
        await self.ask(f"DEL_ONION {key.address}")

    async def _log_in(self, random: Callable[[int], bytes]) -> None:
        said = "\n".join(await self.ask("PROTOCOLINFO 1"))
        found = _METHODS.search(said)
        methods = found[1].split(",") if found else []
        if "NULL" in methods:
            await self.ask("AUTHENTICATE")
            return
        file = _COOKIE_FILE.search(said)
        if "SAFECOOKIE" not in methods or file is None:
            raise TorControlError(
                "Tor's control port wants a password. Set CookieAuthentication 1 in its torrc."
            )
        cookie = await asyncio.to_thread(_read_cookie, Path(_unquoted(file[1])))
        ours = random(_NONCE_BYTES)
        answer = await self.ask(f"AUTHCHALLENGE SAFECOOKIE {ours.hex()}")
        challenge = _CHALLENGE.search("\n".join(answer))
        if challenge is None:
            raise TorControlError("Whatever answers at this control port is no Tor.")
        message = cookie + ours + bytes.fromhex(challenge[2])
        expected = hmac.digest(_SERVER_KEY, message, "sha256")
        if not hmac.compare_digest(expected, bytes.fromhex(challenge[1])):
            raise TorControlError("Whatever answers at this control port is no Tor.")
        await self.ask(f"AUTHENTICATE {hmac.digest(_CLIENT_KEY, message, 'sha256').hex()}")

    async def _heard(self, text: str, wait: float) -> bool:
        """Whether Tor says this unasked within so many seconds."""
        with suppress(TimeoutError, EOFError, asyncio.LimitOverrunError, OSError):
            async with self._turn, asyncio.timeout(wait):
                while text not in await self._line():
                    pass
                return True
        return False

    async def _answer(self) -> list[str]:
        lines: list[str] = []
        while len(lines) < _MOST_LINES:
            code, mark, text = _split(await self._line())
            if mark == "+":
                while (data := await self._line()) != ".":
                    if len(lines) >= _MOST_LINES:
                        break
                    lines.append(data)
                continue
            if code == "650":
                continue
            if code != "250":
                raise TorControlError("Tor does not do what it is asked to.")
            lines.append(text)
            if mark == " ":
                return lines
        raise TorControlError("Tor says more than it was asked for.")

    async def _line(self) -> str:
        return (await self._reader.readuntil(b"\r\n"))[:-2].decode("utf-8", "replace")


def _split(line: str) -> tuple[str, str, str]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise TorControlError("Whatever answers at this control port is no Tor.")
    return match[1], match[2], match[3]


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _read_cookie(path: Path) -> bytes:
    # Whoever answers names the file: nothing but a cookie is read, and it is not sent as it is.
    try:
        if not path.is_file():
            raise FileNotFoundError
        with path.open("rb") as file:
            cookie = file.read(_COOKIE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise TorControlError(
            "Tor's control port cannot be used: its cookie cannot be read by you."
        ) from error
    if len(cookie) != _COOKIE_BYTES:
        raise TorControlError("Whatever answers at this control port is no Tor.")
    return cookie

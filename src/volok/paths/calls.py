"""Whole HTTP calls over a live path: small questions with bounded answers and a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from volok.paths.drop import DropConfused, DropError, DropFull, DropGone, DropRefused
from volok.paths.live import LivePath, PathError

_PIECE = 32 * 1024
_GONE = {404, 409, 410}
_FULL = {413, 507}
_REFUSED = {401, 403, 407, 423}
_BUSY = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How servers of drops are called."""

    patience: float = 30.0
    """Seconds that any call may take."""
    slowest: float = 8_000.0
    """Bytes in a second: a call that carries much may take longer, at this rate."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    """Cut at what was asked for."""


class Caller:
    """Makes calls over one path."""

    def __init__(self, path: LivePath, settings: CallSettings | None = None) -> None:
        self._path = path
        self._settings = settings or CallSettings()

    async def call(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", most: int = 0
    ) -> Answer:
        """Make one call and read up to `most` bytes of its answer. Raises DropError."""
        patience = self._settings.patience + max(len(body), most) / self._settings.slowest
        try:
            async with (
                asyncio.timeout(patience),
                self._path.request(method, url, *_sent(headers, body)) as response,
            ):
                read = bytearray()
                if most:
                    async for piece in response.body:
                        read += piece
                        if len(read) >= most:
                            break
                return Answer(response.status, response.headers, bytes(read[:most]))
        except TimeoutError as error:
            raise DropError("The server does not answer in time.") from error
        except PathError as error:
            text = str(error) or "The relay cannot be reached."
            raise DropError(text.replace("relay", "server")) from error


def _sent(
    headers: Mapping[str, str], body: bytes
) -> tuple[Mapping[str, str], AsyncIterator[bytes] | bytes | None]:
    """A long body goes in pieces, so that the path sees that it moves."""
    if len(body) <= _PIECE:
        return headers, body or None
    return {**headers, "content-length": str(len(body))}, _pieces(body)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), _PIECE):
        yield body[at : at + _PIECE]


def refusal(status: int) -> DropError:
    """The error that a status other than the expected one (RFC 9110, RFC 4918) stands for."""
    if status in _REFUSED:
        return DropRefused()
    if status in _GONE:
        return DropGone("The folder is not there. Check the address.")
    if status in _FULL:
        return DropFull()
    if status in _BUSY:
        return DropError("The server has a problem of its own at the moment.")
    return DropConfused()

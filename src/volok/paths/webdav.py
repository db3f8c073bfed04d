"""A folder on a WebDAV server as a drop (RFC 4918): cloud storage, a NAS, a university's server.

A PUT takes effect as a whole. Passwords go out by HTTP Basic (RFC 7617) to the one server named in
the address; redirects are not followed.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit

from volok.paths.calls import Caller, CallSettings, refusal
from volok.paths.drop import (
    MOST_LOOKED_AT,
    Drop,
    DropCapabilities,
    DropConfused,
    FileInfo,
    FileMissing,
    is_drop_name,
    newest,
)
from volok.paths.listing import InvalidListing, read_listing
from volok.paths.live import LivePath

_MOST_LIST = 32 * 1024 * 1024
_QUESTION = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<getcontentlength/><getlastmodified/></prop></propfind>"
)


OWNER_LEARNS = (
    "The owner of this server sees the account, your address, and when "
    "encrypted files come and go; not what is in them or whom they are for. Everybody "
    "who uses this folder with you uses it in their sight."
)
"""What the person is told before this is first used."""


@dataclass(frozen=True, slots=True)
class WebDavSettings:
    """How a WebDAV server is used as a drop."""

    period: float = 20.0
    """Seconds between two looks into it."""
    calls: CallSettings = field(default_factory=CallSettings)
    """How it is called."""


class WebDavDrop(Drop):
    """`Drop` over one WebDAV collection, which must exist."""

    def __init__(
        self,
        path: LivePath,
        url: str,
        user: str,
        password: str,
        settings: WebDavSettings | None = None,
    ) -> None:
        """`url` is http or https and names the collection; `path` carries the calls."""
        self._url = url.rstrip("/") + "/"
        self._settings = settings or WebDavSettings()
        self._caller = Caller(path, self._settings.calls)
        self._headers: dict[str, str] = {}
        if user or password:
            login = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers["authorization"] = f"Basic {login}"

    @property
    def capabilities(self) -> DropCapabilities:
        return DropCapabilities(
            latency=self._settings.period,
            owner_learns=OWNER_LEARNS,
        )

    async def list(self) -> Sequence[FileInfo]:
        headers = {**self._headers, "depth": "1", "content-type": "application/xml"}
        answer = await self._caller.call("PROPFIND", self._url, headers, _QUESTION, _MOST_LIST)
        if answer.status != 207:
            raise refusal(answer.status)
        fields = ("href", "getcontentlength", "getlastmodified")
        try:
            found, _ = read_listing(answer.body, "response", fields, MOST_LOOKED_AT)
        except InvalidListing as error:
            raise DropConfused from error
        files = (_file(each) for each in found)
        return newest([file for file in files if file is not None])

    async def get(self, name: str, most: int) -> bytes:
        headers = {**self._headers, "range": f"bytes=0-{most - 1}"}
        answer = await self._caller.call("GET", self._url + name, headers, most=most)
        if answer.status in (404, 410):
            raise FileMissing
        if answer.status == 416:  # an empty file has no range
            return b""
        if answer.status not in (200, 206):
            raise refusal(answer.status)
        return answer.body

    async def put(self, name: str, data: bytes) -> None:
        headers = {**self._headers, "content-type": "application/octet-stream"}
        answer = await self._caller.call("PUT", self._url + name, headers, data)
        if answer.status not in (200, 201, 204):
            raise refusal(answer.status)

    async def delete(self, name: str) -> None:
        answer = await self._caller.call("DELETE", self._url + name, self._headers)
        if answer.status not in (200, 202, 204, 404, 410):
            raise refusal(answer.status)

    async def close(self) -> None:
        """Nothing is held open here; the path belongs to the caller."""


def _file(record: dict[str, str]) -> FileInfo | None:
    """One entry of a multistatus answer (RFC 4918, section 14.24), if it is a file of ours."""
    try:
        name = unquote(urlsplit(record.get("href", "").strip()).path).rpartition("/")[2]
        if not is_drop_name(name):
            return None
        return FileInfo(
            name, _size(record["getcontentlength"]), _time(record.get("getlastmodified", ""))
        )
    except (KeyError, ValueError):
        return None


def _size(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError("Not a length.")
    return int(text)


def _time(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

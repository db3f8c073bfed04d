"""The website that strangers see in place of a relay. Pure: requests as bytes in, answers out.

1. The answer depends on the request and on the files, and on nothing else: there is no path, method
   or header that gets a special answer because a relay is here. Upgrades are ignored.
2. Methods, ranges, conditions, redirects and errors are those of a plain web server for files
   (RFC 9110), without a Server header.
3. Names are looked up among the files that were read at the start: no request reaches the disk.
"""

from __future__ import annotations

import hashlib
import hmac
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import quote, unquote_to_bytes

from volok.relay.ranges import Unsatisfiable, parse_range

MAX_HEAD = 32 * 1024
"""The longest head of a request, in bytes."""
MAX_LINE = 8 * 1024
"""The longest request line or header line, in bytes."""

HEAD_END = re.compile(rb"\r?\n\r?\n")
"""What ends the head of a request."""

_REQUEST_LINE = re.compile(rb"([A-Z_-]{1,32}) +([^\x00-\x20\x7f]+) +HTTP/(\d)\.(\d)")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*")
_ABSOLUTE = re.compile("[a-z][a-z0-9+.-]*://[^/?#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CoverFile:
    """A file of the website."""

    content: bytes
    modified: int
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request."""

    method: str
    target: str
    """As it was sent, in ASCII; other bytes are escaped as surrogates."""
    minor: int
    """The number after HTTP/1."""
    headers: Mapping[str, str]
    """Names in lower case; the first of several."""
    malformed: bool = False
    """Whether the headers break a rule that a server has to answer with 400."""

    @property
    def path(self) -> str:
        """The target without origin and query, still escaped."""
        target = self.target
        if not target.startswith("/"):
            target = _ABSOLUTE.sub("", target, count=1) or "/"
        return re.split("[?#]", target, maxsplit=1)[0]

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants the connection to stay."""
        wish = {part.strip() for part in self.headers.get("connection", "").lower().split(",")}
        return "close" not in wish and (self.minor > 0 or "keep-alive" in wish)

    @property
    def body_length(self) -> int | None:
        """Bytes of the body that follows; None when only reading it would tell."""
        if "transfer-encoding" in self.headers:
            return None
        return int(self.headers.get("content-length", "0"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    data: bytes
    keep: bool
    """Whether the connection stays open."""


class InvalidRequest(ValueError):
    """This is not the head of an HTTP request."""


def parse_request(head: bytes) -> Request:
    """Read the head of a request, without the empty line at its end. Raises InvalidRequest."""
    line, *fields = re.split(rb"\r?\n", head)
    match = _REQUEST_LINE.fullmatch(line)
    if match is None or match[3] != b"1":
        raise InvalidRequest("The request line is not one.")
    headers: dict[str, str] = {}
    malformed = False
    for text in fields:
        found = _HEADER.fullmatch(text)
        if found is None:
            raise InvalidRequest("A header is not one.")
        name = found[1].decode().lower()
        malformed |= name in headers and name in ("host", "content-length")
        headers.setdefault(name, found[2].decode("latin-1"))
    malformed |= not re.fullmatch("[0-9]{1,18}", headers.get("content-length", "0"))
    malformed |= "host" not in headers and match[4] != b"0"
    target = match[2].decode("ascii", "surrogateescape")
    return Request(match[1].decode(), target, int(match[4]), headers, malformed)


@dataclass(frozen=True, slots=True)
class CoverSite:
    """A website of files, by their paths without a slash in front."""

    files: Mapping[str, CoverFile]
    folders: frozenset[str] = field(init=False)
    """Paths of folders, with a slash at the end; "" is the root."""

    def __post_init__(self) -> None:
        """Find the folders."""
        folders = {""}
        for path in self.files:
            parts = path.split("/")[:-1]
            folders |= {"/".join(parts[: n + 1]) + "/" for n in range(len(parts))}
        object.__setattr__(self, "folders", frozenset(folders))

    def answer(self, request: Request, now: float) -> Answer:
        """Answer a request at a time in Unix seconds."""
        path = None if request.malformed else _decoded(request.path)
        if path is None:
            return self.error(400, now)
        keep = request.keeps_alive and request.body_length is not None
        reply = _Reply(request.method == "HEAD", keep, now)
        name = f"{path}index.html" if path in self.folders else path
        file = self.files.get(name)
        if request.method not in ("GET", "HEAD", "POST"):
            return self._page(reply, 405)
        if file is None:
            return self._absent(reply, path)
        if request.method == "POST":
            return self._page(reply, 405)
        return self._file(reply, request, name, file)

    def error(self, status: int, now: float) -> Answer:
        """The answer to what is no request; the connection ends."""
        return self._page(_Reply(False, False, now), status)

    def _page(self, reply: _Reply, status: int) -> Answer:
        own = self.files.get(f"{status}.html")
        headers = {"Content-Type": "text/html"}
        return reply.of(status, headers, own.content if own else _error_page(status))

    def _absent(self, reply: _Reply, path: str) -> Answer:
        if f"{path}/" not in self.folders:
            return self._page(reply, 403 if path in self.folders else 404)
        place = quote(path, errors="surrogateescape")
        headers = {"Content-Type": "text/html", "Location": f"/{place}/"}
        return reply.of(301, headers, _error_page(301))

    def _file(self, reply: _Reply, request: Request, name: str, file: CoverFile) -> Answer:
        size, tag = len(file.content), f'"{file.modified:x}-{len(file.content):x}"'
        validators = {"Last-Modified": formatdate(file.modified, usegmt=True), "ETag": tag}
        if _unchanged(request, file, tag):
            return reply.of(304, validators, None)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = {"Content-Type": kind, **validators}
        condition = request.headers.get("if-range", tag)
        wanted = request.headers.get("range") if condition in validators.values() else None
        try:
            part = parse_range(wanted, size)
        except Unsatisfiable:
            headers = {"Content-Type": "text/html", "Content-Range": f"bytes */{size}"}
            return reply.of(416, headers, _error_page(416))
        if part is None:
            return reply.of(200, headers | {"Accept-Ranges": "bytes"}, file.content)
        start, length = part
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
        return reply.of(206, headers, file.content[start : start + length])


@dataclass(frozen=True, slots=True)
class _Reply:
    head_only: bool
    keep: bool
    now: float

    def of(self, status: int, headers: Mapping[str, str], body: bytes | None) -> Answer:
        lines = [
            f"HTTP/1.1 {status} {_phrase(status)}",
            f"Date: {formatdate(self.now, usegmt=True)}",
        ]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"Connection: {'keep-alive' if self.keep else 'close'}", "", ""]
        content = b"" if self.head_only or body is None else body
        return Answer("\r\n".join(lines).encode("latin-1") + content, self.keep)


def _unchanged(request: Request, file: CoverFile, tag: str) -> bool:
    tags = request.headers.get("if-none-match")
    if tags is not None:
        known = {one.strip().removeprefix("W/") for one in tags.split(",")}
        return bool(known & {tag, "*"})
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return parsedate_to_datetime(since).timestamp() >= file.modified
    except (ValueError, TypeError, OverflowError):
        return False


def _decoded(path: str) -> str | None:
    """The path of a file: unescaped, dots resolved; None for what no web server takes."""
    if not path.startswith("/"):
        return None
    raw = unquote_to_bytes(path.encode("ascii", "surrogateescape"))
    if b"\0" in raw or re.search(r"%(?![0-9A-Fa-f]{2})", path):
        return None
    parts: list[str] = []
    for part in raw.decode("utf-8", "surrogateescape").split("/")[1:]:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part != ".":
            parts.append(part)
    folder = raw.endswith((b"/", b"/.", b"/.."))
    named = [part for part in parts if part]
    return "/".join(named) + ("/" if folder and named else "")


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


def _error_page(status: int) -> bytes:
    title = f"{status} {_phrase(status)}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n"
        f"<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    ).encode()


def is_secret(path: str, digest: bytes) -> bool:
    """Whether the first part of a path (still escaped) has this SHA-256.

    Hashed and compared whole, so that the time says nothing of how much of it was right.
    """
    first = path.removeprefix("/").partition("/")[0]
    found = hashlib.sha256(first.encode("ascii", "surrogateescape")).digest()
    return hmac.compare_digest(found, digest)

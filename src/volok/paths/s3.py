"""A bucket of an S3 service as a drop, addressed by path: Amazon's, or MinIO, Ceph and the like.

Requests are signed by AWS Signature Version 4 ("Authenticating Requests", Amazon S3 API Reference),
which is HMAC-SHA256 over a canonical form of the request; nothing is encrypted by it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit

from volok.paths.calls import Answer, Caller, CallSettings, refusal
from volok.paths.drop import (
    MOST_LOOKED_AT,
    Drop,
    DropCapabilities,
    DropConfused,
    DropError,
    DropRefused,
    FileInfo,
    FileMissing,
    is_drop_name,
    newest,
)
from volok.paths.listing import InvalidListing, read_listing
from volok.paths.live import LivePath

_MOST_LIST = 4 * 1024 * 1024
_MOST_ERROR = 16 * 1024
_SAFE = "-_.~"


OWNER_LEARNS = (
    "The owner of this service sees the account, your address, and when "
    "encrypted files come and go; not what is in them or whom they are for. Everybody "
    "who uses this bucket with you uses it in their sight."
)
"""What the person is told before this is first used."""


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How an S3 service is used as a drop."""

    period: float = 20.0
    """Seconds between two looks into it."""
    page: int = 1000
    """Files in one answer of a listing; services give no more than 1,000."""
    calls: CallSettings = field(default_factory=CallSettings)
    """How it is called."""


@dataclass(frozen=True, slots=True)
class S3Place:
    """Where in which service, and by whose key."""

    endpoint: str
    """http or https address of the service, without a path."""
    bucket: str
    key: str
    """Access key id."""
    secret: str
    """Secret access key."""
    region: str = "us-east-1"
    prefix: str = ""
    """Begins the names of all files, such as `drop/`."""


class S3Drop(Drop):
    """`Drop` over one bucket, which must exist."""

    def __init__(
        self,
        path: LivePath,
        place: S3Place,
        now: Callable[[], float],
        settings: S3Settings | None = None,
    ) -> None:
        """`path` carries the calls; `now` gives Unix seconds, which signatures are made with."""
        self._place = place
        self._now = now
        self._settings = settings or S3Settings()
        self._caller = Caller(path, self._settings.calls)
        self._bucket = f"{place.endpoint.rstrip('/')}/{quote(place.bucket, safe=_SAFE)}"

    @property
    def capabilities(self) -> DropCapabilities:
        return DropCapabilities(
            latency=self._settings.period,
            owner_learns=OWNER_LEARNS,
        )

    async def list(self) -> Sequence[FileInfo]:
        files: list[FileInfo] = []
        token = ""
        for _ in range(MOST_LOOKED_AT // self._settings.page):
            question = {
                "list-type": "2",
                "max-keys": str(self._settings.page),
                "prefix": self._place.prefix,
            }
            if token:
                question["continuation-token"] = token
            url = (
                f"{self._bucket}?{urlencode(sorted(question.items()), quote_via=quote, safe=_SAFE)}"
            )
            answer = await self._call("GET", url, most=_MOST_LIST)
            if answer.status != 200:
                raise _refusal(answer)
            found, token = self._page(answer.body)
            files += found
            if not token:
                break
        return newest(files)

    def _page(self, body: bytes) -> tuple[Sequence[FileInfo], str]:
        fields = ("Key", "Size", "LastModified", "NextContinuationToken", "IsTruncated")
        try:
            found, outside = read_listing(body, "Contents", fields, MOST_LOOKED_AT)
        except InvalidListing as error:
            raise DropConfused from error
        if "IsTruncated" not in outside:
            raise DropConfused
        files = (_file(each, self._place.prefix) for each in found)
        more = outside["IsTruncated"].strip() == "true"
        token = outside.get("NextContinuationToken", "") if more else ""
        return [file for file in files if file is not None], token

    async def get(self, name: str, most: int) -> bytes:
        wanted = {"range": f"bytes=0-{most - 1}"}
        enough = max(most, _MOST_ERROR)
        answer = await self._call("GET", self._url(name), headers=wanted, most=enough)
        if answer.status == 404 and b"NoSuchBucket" not in answer.body:
            raise FileMissing
        if answer.status == 416:  # an empty file has no range
            return b""
        if answer.status not in (200, 206):
            raise _refusal(answer)
        return answer.body[:most]

    async def put(self, name: str, data: bytes) -> None:
        answer = await self._call("PUT", self._url(name), data, most=_MOST_ERROR)
        if answer.status != 200:
            raise _refusal(answer)

    async def delete(self, name: str) -> None:
        answer = await self._call("DELETE", self._url(name), most=_MOST_ERROR)
        if answer.status not in (200, 204, 404):
            raise _refusal(answer)

    async def close(self) -> None:
        """Nothing is held open here; the path belongs to the caller."""

    def _url(self, name: str) -> str:
        return f"{self._bucket}/{quote(self._place.prefix + name, safe='/' + _SAFE)}"

    async def _call(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        most: int = 0,
    ) -> Answer:
        signed = sign(method, url, headers or {}, body, self._place, self._now())
        return await self._caller.call(method, url, signed, body, most)


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    place: S3Place,
    now: float,
) -> dict[str, str]:
    """The headers of a request with its signature; names in lower case, `now` in Unix seconds.

    Path and query of `url` must be encoded as Amazon wants: everything but unreserved characters,
    and the query sorted by name.
    """
    parts = urlsplit(url)
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    signed = {
        **{name.lower(): value for name, value in headers.items()},
        "host": _host(parts.scheme, parts.netloc),
        "x-amz-content-sha256": digest,
        "x-amz-date": moment,
    }
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    canonical = "\n".join((method, parts.path or "/", parts.query, lines, names, digest))
    scope = f"{moment[:8]}/{place.region}/s3/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashed))
    key = f"AWS4{place.secret}".encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={place.key}/{scope}, "
        f"SignedHeaders={names}, Signature={key.hex()}"
    )
    return signed


def _host(scheme: str, netloc: str) -> str:
    """As it stands in the Host header: without the usual port."""
    usual = ":443" if scheme == "https" else ":80"
    return netloc.lower().removesuffix(usual)


def _file(record: dict[str, str], prefix: str) -> FileInfo | None:
    key, size = record.get("Key", ""), record.get("Size", "").strip()
    name = key.removeprefix(prefix)
    if not key.startswith(prefix) or not is_drop_name(name):
        return None
    if not (size.isascii() and size.isdigit() and len(size) < 19):
        return None
    try:
        time = datetime.fromisoformat(record.get("LastModified", "")).timestamp()
    except (ValueError, OverflowError, OSError):
        return FileInfo(name, int(size), None)
    return FileInfo(name, int(size), time)


def _refusal(answer: Answer) -> DropError:
    if b"RequestTimeTooSkewed" in answer.body:
        return DropRefused("The clock of this computer is wrong. Set it and try again.")
    return refusal(answer.status)

"""Which drops a node has: where they are and how to log in, as it stands in the vault."""

from __future__ import annotations

import ipaddress
import json
import stat
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from volok.app.errors import AppError
from volok.chat.records import set_setting, setting
from volok.paths.drop import Drop, DropGone
from volok.paths.folder import FolderDrop, on_root
from volok.paths.live import LivePath
from volok.paths.s3 import S3Drop, S3Place
from volok.paths.webdav import WebDavDrop
from volok.store.vault import Transaction

KINDS = ("folder", "webdav", "s3")
_SETTING = "drops"


class InvalidDrop(AppError):
    """This is no place that can be used. Check the address."""


class NoSuchDrop(AppError):
    """There is no such drop. See `volok path list`."""


class PasswordUnprotected(AppError):
    """By http everybody on the way could read the password. Use an address with https."""


@dataclass(frozen=True, slots=True)
class DropRecord:
    """A drop as the vault remembers it."""

    id: str
    kind: str
    """`folder`, `webdav` or `s3`."""
    place: str
    """The folder, or the address of the collection or service."""
    user: str = ""
    """User name, or access key id."""
    password: str = field(default="", repr=False)
    """Password, or secret access key."""
    bucket: str = ""
    """S3 alone."""
    region: str = ""
    """S3 alone."""
    prefix: str = ""
    """S3 alone."""
    removable: bool = False
    """A folder that counts as gone while nothing is mounted there."""


_FIELDS = {each.name for each in fields(DropRecord)}


def folder_record(folder: Path) -> DropRecord:
    """The record of a folder. Raises DropGone when it is not there."""
    folder = folder.expanduser().absolute()
    try:
        facts = folder.stat()
    except OSError as error:
        raise DropGone from error
    if not stat.S_ISDIR(facts.st_mode):
        raise DropGone("This is not a folder.")
    return DropRecord("", "folder", str(folder), removable=not on_root(facts))


def make_drop(record: DropRecord, path: LivePath, now: Callable[[], float]) -> Drop:
    """The drop that a record describes. `path` carries the calls to servers; `now` gives
    Unix seconds. Raises InvalidDrop for an unknown kind."""
    match record.kind:
        case "folder":
            return FolderDrop(Path(record.place), now, removable=record.removable)
        case "webdav":
            return WebDavDrop(path, record.place, record.user, record.password)
        case "s3":
            place = S3Place(
                record.place,
                record.bucket,
                record.user,
                record.password,
                record.region,
                record.prefix,
            )
            return S3Drop(path, place, now)
    raise InvalidDrop


def load_records(tx: Transaction) -> list[DropRecord]:
    """All drops of the kinds that this version knows, in the order in which they were added."""
    records = [
        DropRecord(**{name: value for name, value in each.items() if name in _FIELDS})
        for each in json.loads(str(setting(tx, _SETTING, "[]")))
    ]
    return [record for record in records if record.kind in KINDS]


def save_records(tx: Transaction, records: Sequence[DropRecord]) -> None:
    """Replace them."""
    set_setting(tx, _SETTING, json.dumps([asdict(record) for record in records]))


def server_address(url: str, insecure: bool) -> str:
    """The address of a server, without a slash at its end.

    Raises InvalidDrop, PasswordUnprotected.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidDrop from error
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidDrop("The address begins with https://.")
    if "@" in parts.netloc:
        raise InvalidDrop("The address has a user name in it. Give it by itself.")
    if parts.query or parts.fragment or any(ord(each) <= 0x20 for each in text):
        raise InvalidDrop
    if parts.scheme == "http" and not insecure and not _is_here(host):
        raise PasswordUnprotected
    return text.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Which drops a node has: where they are and how to log in, as it stands in the vault."""

from __future__ import annotations

import ipaddress
import json
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from volok.app.errors import AppError
from volok.chat.records import set_setting, setting
from volok.paths.drop import Drop, DropGone
from volok.paths.folder import FolderDrop, on_root
from volok.paths.live import LivePath
from volok.paths.mail import MailDrop, MailSettings
from volok.paths.mail_account import InvalidMailAddress, InvalidMailServer, usual_account
from volok.paths.s3 import S3Drop, S3Place
from volok.paths.sftp import InvalidSftpPlace, SftpDrop, SftpPlace, fingerprint, private_key
from volok.paths.shape import Dial
from volok.paths.webdav import WebDavDrop
from volok.store.vault import Transaction

KINDS = ("folder", "webdav", "s3", "mail", "sftp")
SFTP_PORT = 22
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
    """One of KINDS."""
    place: str
    """The folder, or the address of the collection, service or account."""
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
    imap: str = ""
    """Mail alone: HOST:PORT."""
    smtp: str = ""
    """Mail alone: HOST:PORT."""
    key: str = field(default="", repr=False)
    """SFTP alone: a private key in the format of OpenSSH."""
    host_key: str = ""
    """SFTP alone: the server's public key in the format of OpenSSH."""


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


class Surroundings(NamedTuple):
    """What drops are given by the node."""

    path: LivePath
    """Carries HTTP calls to servers."""
    dial: Dial
    """Makes other connections to servers."""
    now: Callable[[], float]
    """Gives Unix seconds."""
    random: Callable[[int], bytes]
    """Gives so many random bytes."""
    mail: MailSettings | None = None
    """How mail accounts are used."""


def make_drop(
    record: DropRecord,
    around: Surroundings,
    addresses: Mapping[str, str],
    learned: Callable[[str, str], Awaitable[None]],
) -> Drop:
    """The drop that a record describes. `addresses` and `learned` are for mail alone (see
    `volok.paths.mail.MailDrop`). Raises InvalidDrop for an unknown kind."""
    path, dial, now, random, mail = around
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
        case "mail":
            account = usual_account(
                urlsplit(record.place).netloc,
                record.user,
                record.password,
                record.imap,
                record.smtp,
            )
            return MailDrop(account, dial, addresses, now, random, learned, mail)
        case "sftp":
            return SftpDrop(sftp_place(record), dial, now)
    raise InvalidDrop


def mail_record(
    address: str, user: str, password: str, imap: str = "", smtp: str = ""
) -> DropRecord:
    """The record of a mail account; without servers, those with the usual names are meant.

    Raises InvalidDrop.
    """
    try:
        account = usual_account(address, user, password, imap, smtp)
    except (InvalidMailAddress, InvalidMailServer) as error:
        raise InvalidDrop(str(error)) from error
    if not password:
        raise InvalidDrop("Say with --password-file in which file the account's password is.")
    place = f"mail://{account.address}"
    return DropRecord(
        "", "mail", place, account.user, password, imap=str(account.imap), smtp=str(account.smtp)
    )


def sftp_address(url: str) -> str:
    """A folder at an SFTP server (`sftp://USER@HOST[:PORT]/PATH`), always with its port. Raises
    InvalidDrop."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or SFTP_PORT
    except ValueError as error:
        raise InvalidDrop from error
    user, host = unquote(parts.username or ""), parts.hostname or ""
    extra = parts.password or parts.query or parts.fragment
    if parts.scheme != "sftp" or not host or not user or extra:
        raise InvalidDrop("The address reads sftp://USER@HOST/PATH, without a password.")
    where = f"[{host}]" if ":" in host else host
    return f"sftp://{quote(user)}@{where}:{port}{parts.path.rstrip('/') or '/'}"


def sftp_record(url: str, password: str, key: str, host_key: str) -> DropRecord:
    """The record of a folder at an SFTP server (see `sftp_address`). `key` is a private key, and
    `password` opens that one or logs in. Raises InvalidDrop."""
    place = sftp_address(url)
    if not (password or key):
        raise InvalidDrop("Say with --password-file or --key-file how to log in.")
    try:
        fingerprint(host_key)
        if key:
            private_key(key, password)
    except InvalidSftpPlace as error:
        raise InvalidDrop(str(error)) from error
    user = unquote(urlsplit(place).username or "")
    return DropRecord("", "sftp", place, user, password, key=key, host_key=host_key)


def sftp_place(record: DropRecord) -> SftpPlace:
    """What the record of an SFTP server stands for."""
    parts = urlsplit(record.place)
    return SftpPlace(
        parts.hostname or "",
        parts.port or SFTP_PORT,
        unquote(parts.path),
        record.user,
        record.password,
        record.key,
        record.host_key,
    )


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

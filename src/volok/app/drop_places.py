"""Drops as a person names them on a command line: by one address."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from volok.app.drop_records import (
    SFTP_PORT,
    InvalidDrop,
    NoSuchDrop,
    mail_record,
    sftp_address,
    sftp_record,
)
from volok.app.drops import Drops
from volok.app.shapes import Json
from volok.paths import mail, s3, sftp, webdav
from volok.paths.mail_account import InvalidMailAddress, parse_address

_SERVERS = {"webdavs": "https", "webdav": "http"}
_LEARNS = {
    "webdavs": webdav.OWNER_LEARNS,
    "webdav": webdav.OWNER_LEARNS,
    "s3": s3.OWNER_LEARNS,
    "mail": mail.OWNER_LEARNS,
    "sftp": sftp.OWNER_LEARNS,
}


def owner_learns(where: str) -> str | None:
    """What the person is to be told before a server is first used; None for a folder."""
    return _LEARNS.get(where.partition("://")[0])


async def add_drop(
    drops: Drops,
    where: str,
    user: str,
    password: str,
    endpoint: str,
    more: Json | None = None,
) -> str:
    """Use a folder, a collection (`webdavs://HOST/PATH`), a bucket (`s3://BUCKET/PREFIX` at the
    service `endpoint`), a mail account (`mail://ADDRESS`) or a folder by SFTP
    (`sftp://USER@HOST/PATH`); returns the id of the drop.

    `more` may have `imap` and `smtp` (HOST:PORT) and `contacts` (mail addresses by the ids of
    contacts) for mail, `key` (a private key) and `host_key` (see `host_key_of`) for SFTP. A mail
    account that is in use gets more contacts. Raises InvalidDrop, PasswordUnprotected, DropError.
    """
    more = more or {}
    try:
        parts = urlsplit(where)
    except ValueError as error:
        raise InvalidDrop from error
    if parts.scheme in _SERVERS:
        url = parts._replace(scheme=_SERVERS[parts.scheme]).geturl()
        return await drops.add_webdav(url, user, password)
    if parts.scheme == "s3":
        if not endpoint:
            raise InvalidDrop("Say with --endpoint at which service this bucket is.")
        prefix = parts.path.lstrip("/")
        return await drops.add_s3(endpoint, parts.netloc, user, password, prefix=prefix)
    if parts.scheme == "mail":
        return await _add_mail(drops, where, user, password, more)
    if parts.scheme == "sftp":
        key, host_key = str(more.get("key", "")), str(more.get("host_key", ""))
        record = sftp_record(where, password, key, host_key)
        return await drops.add(record)
    if "://" in where:
        raise InvalidDrop
    return await drops.add_folder(await asyncio.to_thread(Path(where).expanduser))


async def _add_mail(drops: Drops, where: str, user: str, password: str, more: Json) -> str:
    try:
        address = parse_address(where.removeprefix("mail://").rstrip("/"))
        contacts = {
            str(contact): parse_address(str(at)) for contact, at in more.get("contacts", {}).items()
        }
    except InvalidMailAddress as error:
        raise InvalidDrop(str(error)) from error
    known = [view.id for view in await drops.list() if view.place == f"mail://{address}"]
    if known and contacts and not password:
        identifier = known[0]
    else:
        imap, smtp = str(more.get("imap", "")), str(more.get("smtp", ""))
        identifier = await drops.add(mail_record(address, user, password, imap, smtp))
    for contact, at in contacts.items():
        await drops.write_to(identifier, contact, at)
    return identifier


async def host_key_of(drops: Drops, where: str) -> Json:
    """The key that an SFTP server shows: `host_key`, and its `fingerprint` for people to compare.
    Nothing is said to the server of anybody. Raises InvalidDrop, DropError."""
    parts = urlsplit(sftp_address(where))
    key = await sftp.ask_host_key(parts.hostname or "", parts.port or SFTP_PORT, drops.dial)
    return {"host_key": key, "fingerprint": sftp.fingerprint(key)}


async def find_drop(drops: Drops, which: str) -> str:
    """The id of a drop given by its id or place. Raises NoSuchDrop."""
    for view in await drops.list():
        if which in (view.id, view.place):
            return view.id
    raise NoSuchDrop

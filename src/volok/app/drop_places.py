"""Drops as a person names them on a command line: by one address."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from volok.app.drop_records import InvalidDrop, NoSuchDrop
from volok.app.drops import Drops
from volok.paths import s3, webdav

_SERVERS = {"webdavs": "https", "webdav": "http"}


def owner_learns(where: str) -> str | None:
    """What the person is to be told before a server is first used; None for a folder."""
    scheme = urlsplit(where).scheme
    if scheme in _SERVERS:
        return webdav.OWNER_LEARNS
    return s3.OWNER_LEARNS if scheme == "s3" else None


async def add_drop(drops: Drops, where: str, user: str, password: str, endpoint: str) -> str:
    """Use a folder, a collection (`webdavs://HOST/PATH`) or a bucket (`s3://BUCKET/PREFIX` at the
    service `endpoint`); returns the id of the drop.

    Raises InvalidDrop, PasswordUnprotected, DropError.
    """
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
    if "://" in where:
        raise InvalidDrop
    return await drops.add_folder(await asyncio.to_thread(Path(where).expanduser))


async def find_drop(drops: Drops, which: str) -> str:
    """The id of a drop given by its id or place. Raises NoSuchDrop."""
    for view in await drops.list():
        if which in (view.id, view.place):
            return view.id
    raise NoSuchDrop

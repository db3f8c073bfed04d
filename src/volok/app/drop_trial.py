"""Trying a drop: something is left there, found, read and removed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from volok.paths.drop import NAME_BYTES, Drop, DropConfused, DropError, drop_name

_BYTES = 4096
_MAIL_WAIT = 60.0
"""Seconds in which a mail to ourselves has to come back."""
_MAIL_PAUSE = 1.0


async def try_drop(drop: Drop, random: Callable[[int], bytes]) -> float:
    """Leave a file of random bytes, find it, read it, remove it; with an account, mail it to
    ourselves. Returns the seconds it took. Raises DropError."""
    began = time.monotonic()
    name, data = drop_name(random(NAME_BYTES)), random(_BYTES)
    if drop.capabilities.addressed:
        await _by_mail(drop, name, data)
    else:
        await _in_place(drop, name, data)
    return time.monotonic() - began


async def _in_place(drop: Drop, name: str, data: bytes) -> None:
    try:
        await drop.put(name, data)
        listed = {file.name: file.size for file in await drop.list()}
        if listed.get(name) != len(data) or await drop.get(name, len(data) + 1) != data:
            raise DropConfused("What was left there does not come back as it was.")
    finally:
        with suppress(DropError):
            await drop.delete(name)


async def _by_mail(drop: Drop, name: str, data: bytes) -> None:
    looked = {file.name for file in await drop.list()}
    await drop.put(name, data)
    end = time.monotonic() + _MAIL_WAIT
    while time.monotonic() < end:
        for file in await drop.list():
            if file.name in looked:
                continue
            if await drop.get(file.name, len(data) + 1) == data:
                await drop.delete(file.name)
                return
            looked.add(file.name)
        await asyncio.sleep(_MAIL_PAUSE)
    raise DropConfused(
        "The provider took a mail to yourself, but it did not arrive within a minute. Look whether "
        "it lies in another folder, and check the address."
    )

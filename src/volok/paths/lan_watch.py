"""Hearing that the addresses of this computer changed, without looking again and again."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from types import TracebackType

_GROUPS = 0x1 | 0x10 | 0x100
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR of rtnetlink(7)."""
_LONGEST = 65_536


class AddressWatch:
    """Use as a context manager in the event loop. Where the system tells nothing by itself (it is
    Linux's rtnetlink that does), `changed` returns after `period` seconds."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._socket: socket.socket | None = None
        self._event = asyncio.Event()

    def __enter__(self) -> AddressWatch:
        family = getattr(socket, "AF_NETLINK", None)
        if family is not None:
            with suppress(OSError):
                made = socket.socket(family, socket.SOCK_RAW, 0)
                try:
                    made.setblocking(False)
                    made.bind((0, _GROUPS))
                except OSError:
                    made.close()
                    raise
                self._socket = made
                asyncio.get_running_loop().add_reader(made.fileno(), self._read, made)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    async def changed(self) -> None:
        """Return when addresses may have changed since this last returned."""
        if self._socket is None:
            await asyncio.sleep(self._period)
        else:
            await self._event.wait()
            self._event.clear()

    def _read(self, made: socket.socket) -> None:
        with suppress(OSError):  # nothing more, or more than fits: it changed in any case
            while made.recv(_LONGEST):
                pass
        self._event.set()

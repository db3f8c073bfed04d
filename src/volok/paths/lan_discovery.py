"""Finding others on one local network, and being found: multicast DNS (RFC 6762, RFC 6763).

1. We announce ourselves as what many devices are, a website by TLS, under a random service name and
   a random host name, without any property. They are used once: whoever announces itself anew has
   other ones. The only thing that tells it from other websites is the form of these names.
2. What others announce is a hint and no more: names of another form are passed over, at most
   MOST_NEIGHBOURS are kept, and an address that is not on this very network is never dialled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from zeroconf import BadTypeInNameException, IPVersion, ServiceStateChange, Zeroconf
from zeroconf import Error as ZeroconfError
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from volok.paths.lan_channel import uninterrupted
from volok.paths.lan_interfaces import Interface, dialable
from volok.paths.live import PathError

SERVICE = "_https._tcp.local."
NAME_BYTES = 6
MOST_NEIGHBOURS = 64
"""Others that are known at once."""
MOST_WAITING = 512
"""Names for which there is no room yet; more are passed over."""
_NAME = re.compile(r"[0-9a-f]{12}")
_LOOKING_UP = 8
"""Names that are looked up at once."""
_LOOK_UP_MS = 3000


class NoMulticast(PathError):
    """Other nodes cannot be looked for in this network. Another program may hold the port of
    multicast DNS (5353) for itself."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Somebody who announces something of our kind."""

    name: str
    """The random name, without the type."""
    addresses: tuple[str, ...]
    """Where it may be dialled: all on this network, in the form of `dialable`."""
    port: int


def service_name(random: bytes) -> str:
    """A service name from NAME_BYTES random bytes."""
    return random.hex()


def is_service_name(name: str) -> bool:
    """Whether a name is of the form that `service_name` makes."""
    return _NAME.fullmatch(name) is not None


class Discovery:
    """Announces us on one network and keeps `neighbours`, from entering the context to leaving it.

    `found` is called in the event loop whenever `neighbours` changed. Entering raises NoMulticast.
    """

    def __init__(
        self, interface: Interface, name: str, host: str, port: int, found: Callable[[], None]
    ) -> None:
        """`name` and `host` are two names as of `service_name`."""
        self._interface = interface
        self._name = name
        self._host = host
        self._port = port
        self._found = found
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._waiting: set[str] = set()
        self.neighbours: dict[str, Neighbour] = {}
        """By name."""

    async def __aenter__(self) -> Discovery:
        # It names addresses in its log.
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL + 1)
        addresses = list(self._interface.addresses)
        version = IPVersion.All if self._interface.v6 else IPVersion.V4Only
        try:
            self._zeroconf = AsyncZeroconf(interfaces=addresses, ip_version=version)
        except (OSError, RuntimeError) as error:
            raise NoMulticast from error
        try:
            # The name is random: nobody needs to be asked first whether it is free.
            self._announcing = asyncio.ensure_future(
                await self._zeroconf.async_register_service(
                    self._info(), cooperating_responders=True
                )
            )
            self._browser = AsyncServiceBrowser(
                self._zeroconf.zeroconf, SERVICE, handlers=[self._heard]
            )
        except (OSError, ZeroconfError, TimeoutError) as error:
            await self._zeroconf.async_close()
            raise NoMulticast from error
        except BaseException:
            await uninterrupted(self._zeroconf.async_close())
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await uninterrupted(self._close())

    async def _close(self) -> None:
        # What is still being announced would otherwise come after the good-bye.
        tasks = [self._announcing, *self._looking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(OSError, ZeroconfError, TimeoutError):
            await self._browser.async_cancel()
        with contextlib.suppress(OSError, ZeroconfError, TimeoutError):
            await self._zeroconf.async_close()  # it says good-bye, so that others know at once

    def _info(self) -> AsyncServiceInfo:
        return AsyncServiceInfo(
            SERVICE,
            f"{self._name}.{SERVICE}",
            port=self._port,
            server=f"{self._host}.local.",
            parsed_addresses=list(self._interface.addresses),
            properties={},
        )

    def _heard(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        short = name.removesuffix("." + SERVICE)
        if not is_service_name(short) or short == self._name:
            return
        if state_change is ServiceStateChange.Removed:
            self._waiting.discard(short)
            if self.neighbours.pop(short, None) is not None:
                self._found()
            return
        if len(self._waiting) < MOST_WAITING:
            self._waiting.add(short)
            self._look_up()

    def forget(self, name: str) -> None:
        """Nobody answers under this name: make room for another one."""
        if self.neighbours.pop(name, None) is not None:
            self._look_up()
            self._found()

    def _look_up(self) -> None:
        while (
            self._waiting - self._looking.keys()
            and len(self._looking) < _LOOKING_UP
            and len(self._looking) + len(self.neighbours) < MOST_NEIGHBOURS
        ):
            # In no order that whoever announces much could make use of.
            name = (self._waiting - self._looking.keys()).pop()
            self._waiting.discard(name)
            task = asyncio.get_running_loop().create_task(self._resolve(name))
            self._looking[name] = task
            task.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = {name: one for name, one in self._looking.items() if one is not task}
        self._look_up()

    async def _resolve(self, name: str) -> None:
        try:
            info = AsyncServiceInfo(SERVICE, f"{name}.{SERVICE}")
            if not await info.async_request(self._zeroconf.zeroconf, _LOOK_UP_MS):
                return
            there = dialable(info.parsed_scoped_addresses(), self._interface)
        except (OSError, ZeroconfError, BadTypeInNameException, ValueError):
            return
        if there and info.port:
            self.neighbours[name] = Neighbour(name, tuple(there[:4]), info.port)
            self._found()

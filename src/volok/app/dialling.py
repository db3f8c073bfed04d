"""Connections of drops that speak no HTTP: straight, or by what the person added."""

from __future__ import annotations

import asyncio
import socket

from volok.app.paths import NodePaths
from volok.paths.live import PathError
from volok.paths.names import Names
from volok.paths.proxy import ProxyPath
from volok.paths.shape import Dial
from volok.paths.tor import TorPath


class Dialler:
    """A `volok.paths.shape.Dial` for one node: straight where that is allowed, else or when that
    fails by each proxy and Tor that is for this host."""

    def __init__(self, paths: NodePaths, patience: float = 10.0) -> None:
        """`patience` is how many seconds each way has."""
        self._paths = paths
        self._patience = patience
        self._names = Names()

    async def __call__(self, host: str, port: int) -> socket.socket:
        problem: Exception = OSError("No way that you have leads to this server.")
        for way in self._ways(f"https://{host}:{port}/"):
            try:
                async with asyncio.timeout(self._patience):
                    return await way(host, port)
            except (OSError, PathError) as error:  # a TimeoutError is an OSError
                problem = error
        raise problem if isinstance(problem, OSError) else OSError(str(problem)) from problem

    def close(self) -> None:
        """Look no names up any more."""
        self._names.close()

    def _ways(self, url: str) -> list[Dial]:
        ways: list[Dial] = [self._names.dial] if self._paths.may_go_directly(url) else []
        for one in self._paths.calls.candidates:
            if isinstance(one.path, ProxyPath | TorPath) and one.fits(url):
                ways.append(one.path.connect)
        return ways

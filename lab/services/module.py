"""Servers that are modules of this package: a service starts its own module in its host."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from lab.ground import Host
from lab.world import World


async def start(
    world: World, host: Host, module: str, port: int, options: Mapping[str, Any]
) -> None:
    """Run a module in a host, with a JSON object of `options` as its argument, and wait until it
    listens on its port. What it says goes into a file in the host's folder. Raises WorldBroken."""
    said = world.home(host.name) / f"{module.rpartition('.')[2]}.log"
    with said.open("wb") as log:
        command = [sys.executable, "-m", module, json.dumps(options)]
        await world.run(host.name, command, stdout=log, stderr=log)
    await world.listening(host.name, port)


def options() -> dict[str, Any]:
    """The options that this process was started with."""
    found: dict[str, Any] = json.loads(sys.argv[1])
    return found

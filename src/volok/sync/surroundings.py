"""What all connections of a node share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from volok.model.crypto import Signer
from volok.paths.live import LivePath
from volok.store.deliveries import Deliveries, RelayFacts
from volok.store.store import Store
from volok.sync.intake import Intake
from volok.sync.settings import SyncSettings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all connections of a node share. `now` gives Unix seconds; `changed` is called after
    every change of a status, `learned` after new facts about a relay."""

    path: LivePath
    store: Store
    deliveries: Deliveries
    intake: Intake
    signer: Signer
    settings: SyncSettings
    now: Callable[[], float]
    handshakes: asyncio.Semaphore
    changed: Callable[[], None]
    learned: Callable[[RelayFacts], None]

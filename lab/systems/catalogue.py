"""All systems on the bench."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.systems import System
from lab.systems.deltachat import DeltaChat
from lab.systems.matrix import Matrix
from lab.systems.nostr_client import NostrClient
from lab.systems.volok import Volok

SYSTEMS: Mapping[str, Callable[[], System]] = {
    Volok.name: Volok,
    NostrClient.name: NostrClient,
    DeltaChat.name: DeltaChat,
    Matrix.name: Matrix,
}
"""By their names on the command line."""

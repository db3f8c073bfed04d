"""The settings of a node and of the processes around it."""

from __future__ import annotations

from dataclasses import dataclass, field

from volok.app.hints_choice import HintUseSettings


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What may be tuned in a node; every default suits a person's own computer."""

    host: str = "127.0.0.1"
    """Address that the web app and the control channel listen on. Loopback only."""
    port: int = 7865
    """Port of the web app. When it is taken and was not asked for by name, any free one is used."""
    lock_wait: float = 10.0
    """Seconds that a command waits for another short command to let go of the home folder."""
    answer_wait: float = 3.0
    """Seconds within which a running node must answer before it counts as not there."""
    accept_wait: float = 20.0
    """Seconds that accepting a link waits for the invite to come from the relays it names."""
    publish_wait: float = 8.0
    """Seconds that a fresh invite, or our answer to one, has to reach a relay before the command
    goes on; it stays queued in any case."""
    sync_wait: float = 60.0
    """Seconds that one full round in both directions (`volok sync`) may take."""
    sweep_every: float = 600.0
    """Seconds between two sweeps that erase what has expired."""
    compact_every: float = 6 * 3600.0
    """Seconds between two rewritings of the vault, after which nothing is left of what was
    deleted."""
    restart_first: float = 0.2
    """Seconds before a background task that failed is started again; doubled each time."""
    restart_most: float = 60.0
    """The longest such wait in seconds."""
    tor_ports: tuple[int, ...] = (9050, 9150)
    """On loopback, where a Tor that runs is looked for: the system's, and that of Tor Browser."""
    hints: HintUseSettings = field(default_factory=HintUseSettings)
    """When relays that contacts told us of are used."""

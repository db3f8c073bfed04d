"""What can be set about keeping in step with relays."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """How a node keeps in step with its relays. Times are in seconds."""

    window: int = 50
    """Events sent to one relay that wait for their OK at once."""
    answer_timeout: float = 15.0
    """For a relay to answer the oldest thing that we sent; then the connection is made anew."""
    auth_timeout: float = 5.0
    """For a relay to answer a NIP-42 AUTH; some never do and simply serve afterwards."""
    overlap: int = 3 * 86_400
    """How far before the cursor reading begins: envelopes are dated back by up to two days."""
    page: int = 500
    """Stored events asked for at once, for each inbox."""
    reconcile_from: int = 8
    """Events that a relay gave us before, from which on we ask it what it has besides (NIP-77)
    rather than to give all again."""
    filters_per_request: int = 10
    """Inboxes that share one subscription."""
    subscriptions: int = 16
    """Subscriptions on one connection; more inboxes than fit share subscriptions more tightly."""
    cursor_interval: float = 600.0
    """Between two moves of the cursor while live events flow."""
    max_content: int = 128 * 1024
    """Characters of content in an event that we still take from a relay."""
    strikes: int = 200
    """Senseless frames within one cursor interval after which a relay is left alone for a while."""
    flood_pause: float = 300.0
    """How long."""
    retry_first: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0)
    """The first waits between attempts to connect; a relay that restarts is soon back."""
    handshakes: int = 3
    """Connections being opened at once; more look like an attack to some censors."""
    retry_max: float = 300.0
    """The longest wait; in between each is twice the one before."""
    stable_after: float = 60.0
    """A connection that lived so long lets the waits begin anew."""
    publish_pause: float = 1.0
    """The first pause after a relay asked us to slow down; doubles up to a minute."""
    rota_spread: float = 20.0
    """Where a relay must not learn which inboxes are one person's, each is read for the first time,
    and again after a connection was lost, at a random moment within so long."""
    rota_stay: float = 600.0
    """There, about how long an inbox is read before its connection is left: from half of it to one
    and a half times."""
    rota_rest: float = 30.0
    """There, for how long at most an inbox is then not read."""
    idle_timeout: float = 20.0
    """After which the connection to a relay with no inbox of ours is let go."""
    seen: int = 50_000
    """Ids of events kept in memory to recognise duplicates."""
    document_size: int = 64 * 1024
    """Bytes of a NIP-11 document that are read."""
    transfers: int = 2
    """Blobs on their way at once."""
    transfer_patience: float = 1.5
    """For a relay to answer anything about a blob, before another one is asked beside it."""
    absence_pause: float = 5.0
    """Between two questions for a blob that a relay does not have yet: a quarter of the time that
    it has been waited for, or so much if that is more; less in the beginning."""
    absence_limit: float = 3600.0
    """How long in all a blob that a relay does not have yet is asked for again; then once a day."""
    transfer_rate: int = 2048
    """Bytes per second that a transfer must reach on the whole, after its first minute."""

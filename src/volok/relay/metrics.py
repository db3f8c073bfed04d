"""What a relay counts. Plain numbers; nothing here names a person, a key, an address or content."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Metrics:
    """Counters since the start, and gauges where the docstring says so."""

    connections: int = 0
    """Gauge: open websockets."""
    connections_total: int = 0
    connections_refused: int = 0
    """Refused for their origin, or because too many were open."""
    subscriptions: int = 0
    """Gauge: open subscriptions."""
    malformed: int = 0
    """Frames that were no message of NIP-01."""
    events_received: int = 0
    events_added: int = 0
    events_refused: int = 0
    """Refused by policy, expired, deleted, or with a wrong id or signature."""
    events_duplicate: int = 0
    events_limited: int = 0
    """Events and requests beyond the budget of their connection or address."""
    work_asked: int = 0
    """Gauge: leading zero bits asked of public events because of the load (NIP-13)."""
    plugin_failures: int = 0
    """How often the write policy plug-in was late, ended, or answered something else."""
    events_sent: int = 0
    batches: int = 0
    """Batches of signatures; `events_received / batches` is their mean size."""
    queries: int = 0
    reconciliations: int = 0
    """Reconciliations that were begun (NIP-77)."""
    authentications: int = 0
    slow_readers: int = 0
    """Connections closed because they did not read what was sent."""
    store_failures: int = 0
    failures: int = 0
    """Errors that nobody foresaw; each is a defect of this program."""
    blobs_added: int = 0
    blobs_refused: int = 0
    blobs_served: int = 0
    blobs_mirrored: int = 0
    """Blobs fetched from elsewhere because a client asked (BUD-04); in `blobs_added` as well."""
    blobs_reported: int = 0
    uploads_cut: int = 0
    """Uploads that were too slow, or the slowest when others waited."""
    management_calls: int = 0
    """Calls of the management API (NIP-86) that were carried out."""
    management_refused: int = 0
    """Calls without the authorization of an admin."""
    uploads_unfinished: int = 0
    """Gauge: uploads in parts that are not whole yet."""
    uploads_abandoned: int = 0
    """Such uploads that stood still for too long and were erased."""
    events_expired: int = 0
    blobs_expired: int = 0

    def to_object(self) -> dict[str, int]:
        """All counters by name."""
        return asdict(self)

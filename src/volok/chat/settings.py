"""Every setting of conversations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """How conversations behave. Times are in seconds unless a name says otherwise."""

    envelope_days: int = 30
    """Whole days after which relays may forget an envelope (NIP-40)."""

    reseal_before: float = 2 * 86_400
    """How long before its expiration an envelope without a receipt is sealed anew."""

    window: int = 1000
    """Frames per session that may wait for a receipt."""

    sessions: int = 5
    """Olm sessions kept for each contact."""

    receipt_delay: float = 0.25
    """Receipts wait at least this long, so that several share one envelope."""

    receipt_jitter: float = 0.75
    """A random further wait, so that a receipt does not tell when a message was taken up."""

    receipts_alone: int = 50
    """Frames that hold nothing but receipts are themselves acknowledged in lots of this many."""

    gap_patience: float = 20.0
    """How long a gap in a session stays open before the missing frames are asked for."""

    delete_delay: float = 30.0
    """Relays are asked to delete what an inbox has taken in at least this long after."""

    delete_jitter: float = 600.0
    """A random further wait of each inbox by itself, so that the requests of one person's inboxes
    do not stand side by side on a relay's disk."""

    rotate_keys: float = 7 * 86_400
    """How often each inbox gets a new sealing key."""

    keep_keys: float = 30 * 86_400
    """Age at which an old sealing key is deleted."""

    held_limit: int = 8000
    """Frames and parts held for one inbox while something before them is missing."""

    batch: int = 256
    """Envelopes taken from the log into one transaction."""

    send_batch: int = 128
    """Contents encrypted and sealed in one go: larger ones cost less, smaller ones leave sooner."""

    writes_at_once: int = 256
    """Messages written in one transaction, at most; the first go out while more is written."""

    file_limit: int = 100 * 1024 * 1024
    """Bytes of the largest file that can be sent."""

    framed_limit: int = 1024 * 1024
    """Bytes of the largest file that travels as frames where a contact's relays take no blobs."""

    text_limit: int = 64 * 1024
    """Bytes of UTF-8 of the longest text."""

    journal_lines: int = 10_000
    """Lines of the journal kept for pages that resume."""

    hints_told: int = 3
    """Relays that one contact is told of at a time."""

    hints_places: int = 2
    """Other places (folders on servers, mail addresses) that one contact is told of at a time."""

    hints_pool: int = 6
    """Relays that all contacts together are told of at a time, and at most in any 30 days."""

    hints_repeat: float = 30 * 86_400
    """How often a contact is told the same again, so that they keep it."""

    hints_keep: float = 90 * 86_400
    """How long a place that a contact told us of is kept."""

    hints_kept: int = 300
    """Places that all contacts together told us of, at most."""

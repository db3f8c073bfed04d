"""Reports on blobs (BUD-09): which hashes people have complained of, for the operator to look at.

They stay in memory, bounded, and nobody's key with them: a list of who objected to what would be
worth taking. Whoever wants to can send many, so the number is a hint and nothing is done by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from volok.model.crypto import Verifier
from volok.model.event import Event, InvalidEvent, is_hex32, parse_event, verify_event
from volok.relay.settings import DAY
from volok.relay.tokens import CLOCK_SKEW

REPORT_KIND = 1984
MAX_REPORT = 64 * 1024
"""The longest report, in bytes."""
MAX_BLOBS = 1_000
"""The most blobs with reports; those reported longest ago are forgotten."""
MAX_REPORTERS = 32
"""How far the reporters of one blob are counted."""
_TYPES = frozenset({"nudity", "malware", "profanity", "illegal", "spam", "impersonation", "other"})


class InvalidReport(ValueError):
    """This is no report; the text says why."""


def parse_report(body: bytes, verifier: Verifier, now: int) -> Event:
    """Read and check a signed report (NIP-56) that names blobs. Raises InvalidReport."""
    try:
        event = parse_event(json.loads(body))
    except (ValueError, RecursionError, InvalidEvent) as error:
        raise InvalidReport("The report is not a Nostr event.") from error
    if event.kind != REPORT_KIND or not any(map(is_hex32, event.values("x"))):
        raise InvalidReport("A report is an event of kind 1984 that names blobs in x tags.")
    if not now - DAY <= event.created_at <= now + CLOCK_SKEW:
        raise InvalidReport("The report is not of today.")
    if not verify_event(event, verifier):
        raise InvalidReport("The signature of the report is wrong.")
    return event


@dataclass(slots=True)
class _Reported:
    types: set[str] = field(default_factory=set)
    reporters: set[bytes] = field(default_factory=set)


@dataclass(slots=True)
class Reports:
    """The blobs that were reported since the start."""

    random: Callable[[int], bytes]
    """Bytes from the system's generator."""
    _salt: bytes = field(init=False)
    _blobs: dict[str, _Reported] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Draw the salt under which reporters are told apart."""
        self._salt = self.random(16)

    def add(self, event: Event, name: str) -> None:
        """Note that a checked report names this blob."""
        reported = self._blobs.pop(name, None) or _Reported()
        self._blobs[name] = reported
        reported.types |= {
            tag[2] for tag in event.tags if tag[:2] == ("x", name) and set(tag[2:3]) & _TYPES
        } or {"other"}
        if len(reported.reporters) < MAX_REPORTERS:
            reporter = f"{name}:{event.pubkey}".encode()
            reported.reporters.add(
                hashlib.blake2b(reporter, digest_size=8, key=self._salt).digest()
            )
        if len(self._blobs) > MAX_BLOBS:
            del self._blobs[next(iter(self._blobs))]

    def settle(self, name: str) -> None:
        """The operator has decided: forget the reports on this blob."""
        self._blobs.pop(name, None)

    def listed(self) -> list[dict[str, object]]:
        """For the operator: `sha256`, `reason` and `reporters` (their number) of each."""
        return [
            {
                "sha256": name,
                "reason": ", ".join(sorted(reported.types)),
                "reporters": len(reported.reporters),
            }
            for name, reported in self._blobs.items()
        ]

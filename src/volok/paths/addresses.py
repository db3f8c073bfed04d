"""Which addresses of a name to trust: what was proved, what is doubted, what to try first. Pure.

1. An address is proved when whoever answered there showed the key or certificate of the one who
   was meant. It is doubted each time that a connection to it ended without such a proof.
2. What was proved comes first, then what nobody doubts, then what is doubted least. An address that
   was proved once and failed several times since comes after fresh ones.
3. Fewer names and addresses are remembered than there may be; those unused for longest go first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class AddressSettings:
    """How addresses are remembered."""

    doubts: int = 3
    """Connections without a proof after which one that was proved before is no longer preferred."""
    fresh: float = 3600.0
    """Seconds for which a proved address is taken without asking for the name again."""
    names: int = 500
    """Names that are remembered."""
    addresses: int = 16
    """Addresses of each."""


@dataclass(slots=True)
class _Known:
    proved_at: float = _NEVER
    doubts: int = 0


class AddressBook:
    """What is known of the addresses of names. Times are seconds of any steady clock."""

    def __init__(self, settings: AddressSettings | None = None) -> None:
        self._settings = settings or AddressSettings()
        self._names: dict[str, dict[str, _Known]] = {}

    def proved(self, host: str, address: str, now: float) -> None:
        """Whoever answers there is the one who was meant."""
        known = self._record(host, address)
        known.proved_at, known.doubts = now, 0

    def failed(self, host: str, address: str) -> None:
        """A connection to this address ended without a proof."""
        self._record(host, address).doubts += 1

    def trusted(self, host: str, now: float) -> list[str]:
        """Addresses that need no new lookup, the latest proved first."""
        found = [
            (known.proved_at, address)
            for address, known in self._names.get(host, {}).items()
            if now - known.proved_at < self._settings.fresh and known.doubts < self._settings.doubts
        ]
        return [address for _, address in sorted(found, reverse=True)]

    def known(self, host: str) -> list[str]:
        """All addresses of which something is remembered."""
        return list(self._names.get(host, {}))

    def proved_before(self, host: str) -> list[str]:
        """All addresses that were ever proved and are remembered."""
        known = self._names.get(host, {})
        return [address for address, one in known.items() if one.proved_at > _NEVER]

    def is_doubted(self, host: str, address: str) -> bool:
        """Whether there is reason to look for other addresses before this one is tried."""
        known = self._look_up(host, address)
        return known.doubts >= (1 if known.proved_at == _NEVER else self._settings.doubts)

    def ordered(self, host: str, addresses: Iterable[str]) -> list[str]:
        """The order in which to try these; of equal ones the first stays first."""

        def rank(address: str) -> tuple[bool, float, int]:
            known = self._look_up(host, address)
            return self.is_doubted(host, address), -known.proved_at, known.doubts

        return sorted(dict.fromkeys(addresses), key=rank)

    def _look_up(self, host: str, address: str) -> _Known:
        return self._names.get(host, {}).get(address, _Known())

    def _record(self, host: str, address: str) -> _Known:
        # Moved to the end, so that what is unused for longest comes first.
        known = self._names.pop(host, {})
        one = known.pop(address, _Known())
        known[address] = one
        self._names[host] = known
        if len(known) > self._settings.addresses:
            unproved = (name for name, other in known.items() if other.proved_at == _NEVER)
            del known[next(unproved, next(iter(known)))]
        if len(self._names) > self._settings.names:
            del self._names[next(iter(self._names))]
        return one

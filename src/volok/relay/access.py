"""Who may read what: sealed events go to their addressees alone (NIP-42, NIP-59).

1. Kinds 1059, 1060 and 21059 are sealed. Whoever is not authenticated as a `p` of such an event
   cannot tell whether it exists: it is neither sent, nor counted, nor streamed.
2. Asking for sealed kinds by name takes authentication of every `p` asked for.
3. A filter without kinds may be asked by anybody; sealed events are left out of the answer.
4. A deletion of sealed events (NIP-09, by its `k` tag) names an inbox and what came into it, so it
   goes to its author alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, replace

from volok.model.event import Event
from volok.model.filters import Filter
from volok.model.supersession import DELETION
from volok.sync.messages import Prefix

SEALED_KINDS = frozenset({1059, 1060, 21059})
"""Gift wraps (NIP-59): kept, kept otherwise, and ephemeral."""

_SEALED_NUMBERS = frozenset(map(str, SEALED_KINDS))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not done, in the form of NIP-01."""

    prefix: Prefix
    reason: str

    def __str__(self) -> str:
        return f"{self.prefix.value}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads on a connection."""

    keys: Set[str]
    """Public keys that were authenticated, hexadecimal."""
    sealed: bool
    """Whether this relay serves sealed events at all."""

    def may_see(self, event: Event) -> bool:
        """Whether this event may be sent to this reader."""
        if event.kind in SEALED_KINDS:
            return self.sealed and not self.keys.isdisjoint(event.values("p"))
        if event.kind == DELETION and not _SEALED_NUMBERS.isdisjoint(event.values("k")):
            return self.sealed and event.pubkey in self.keys
        return True

    def may_count(self, filters: Iterable[Filter]) -> bool:
        """Whether the number of matches of permitted filters tells nothing about what is hidden."""
        return all(asked.kinds is not None and DELETION not in asked.kinds for asked in filters)

    def permitted(self, filters: Iterable[Filter]) -> tuple[Filter, ...] | Refusal:
        """The part of what was asked for that this reader may have, or why not.

        Filters for sealed kinds come back narrowed to the reader's keys. What the others yield
        still needs `may_see`.
        """
        result: list[Filter] = []
        for asked in filters:
            sealed = SEALED_KINDS & asked.kinds if asked.kinds is not None else frozenset()
            if not sealed or asked.kinds is None:
                result.append(asked)
                continue
            addressees = asked.tags.get("p", frozenset(self.keys))
            if not self.sealed:
                return Refusal(Prefix.RESTRICTED, "sealed events are not served here")
            if not addressees or not addressees <= self.keys:
                return Refusal(Prefix.AUTH_REQUIRED, "sealed events go to their addressees only")
            result.append(replace(asked, kinds=sealed, tags={**asked.tags, "p": addressees}))
            if asked.kinds - sealed:
                result.append(replace(asked, kinds=asked.kinds - sealed))
        return tuple(result)

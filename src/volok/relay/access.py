"""Who may read what: sealed events go to their addressees alone (NIP-42, NIP-59).

1. Kinds 1059, 1060 and 21059 are sealed. Whoever is not authenticated as a `p` of such an event
   cannot tell whether it exists: it is neither sent, nor counted, nor streamed, nor searched.
2. Asking for sealed kinds by name takes authentication of every `p` asked for.
3. A filter without kinds may be asked by anybody; sealed events are left out of the answer.
4. A deletion of sealed events (NIP-09, by its `k` tag) names an inbox and what came into it, so it
   goes to its author alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field, replace

from volok.model.event import Event, kind_of
from volok.model.filters import Filter
from volok.model.supersession import DELETION
from volok.store.store import Entry, Visibility
from volok.sync.messages import Prefix

SEALED_KINDS = frozenset({1059, 1060, 21059})
"""Gift wraps (NIP-59): kept, kept otherwise, and ephemeral."""

_GUARDED_KINDS = SEALED_KINDS | {DELETION}
"""The kinds of which `Reader.may_see` hides some."""


_KIND = slice(172, 186)
"""Where canonical JSON has the kind and what is around it, if `created_at` has ten digits."""
_KIND_HERE = re.compile(rb',"kind":(\d{1,5}),')


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not done, in the form of NIP-01."""

    prefix: Prefix
    reason: str

    def __str__(self) -> str:
        return f"{self.prefix.value}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads on a connection: a value, made anew with each key that is authenticated."""

    keys: Set[str]
    """Public keys that were authenticated, hexadecimal."""
    sealed: bool
    """Whether this relay serves sealed events at all."""
    visibility: Visibility = field(init=False, compare=False, repr=False)
    """The same for a store, which leaves out what this reader may not see."""

    def __post_init__(self) -> None:
        shown_to = frozenset(self.keys if self.sealed else ())
        object.__setattr__(self, "visibility", Visibility(SEALED_KINDS, shown_to))

    def may_see(self, event: Event) -> bool:
        """Whether this event may be sent to this reader."""
        return self.visibility.shows(event)

    def may_see_of(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Those stored events that may be sent to this reader; most need not be parsed for that."""
        if all(map(_is_open, {entry.raw[_KIND] for entry in entries})):
            return entries
        return [entry for entry in entries if self._may_see_entry(entry)]

    def _may_see_entry(self, entry: Entry) -> bool:
        return kind_of(entry.raw) not in _GUARDED_KINDS or self.may_see(entry.event)

    def permitted(self, filters: Iterable[Filter]) -> tuple[Filter, ...] | Refusal:
        """The part of what was asked for that this reader may have, or why not.

        Filters for sealed kinds come back narrowed to the reader's keys. What the others yield
        still needs `may_see`.
        """
        result: list[Filter] = []
        for asked in filters:
            if asked.kinds is None or SEALED_KINDS.isdisjoint(asked.kinds):
                result.append(asked)
                continue
            sealed = SEALED_KINDS & asked.kinds
            addressees = asked.tags.get("p", frozenset(self.keys))
            if not self.sealed:
                return Refusal(Prefix.RESTRICTED, "sealed events are not served here")
            if asked.search is not None:
                return Refusal(Prefix.UNSUPPORTED, "sealed events cannot be searched")
            if not self.keys:
                return Refusal(Prefix.AUTH_REQUIRED, "sealed events go to their addressees only")
            if not addressees <= self.keys:
                return Refusal(Prefix.RESTRICTED, "sealed events go to their addressees only")
            result.append(replace(asked, kinds=sealed, tags={**asked.tags, "p": addressees}))
            if asked.kinds - sealed:
                result.append(replace(asked, kinds=asked.kinds - sealed))
        return tuple(result)


def _is_open(piece: bytes) -> bool:
    """Whether an event with this at `_KIND` is for everybody; False where that is not plain."""
    found = _KIND_HERE.match(piece)
    return found is not None and int(found[1]) not in _GUARDED_KINDS

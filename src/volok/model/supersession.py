"""Which events leave a store: replaced, deleted, expired or vanished (NIP-01, NIP-09, NIP-40,
NIP-59, NIP-62).

Every backend settles by these functions, so that all end with the same set in whatever order
events reach them:

1. Of the events with one address only the newest stays; of two of the same second, the one with
   the lower id.
2. A deletion (kind 5) takes away what its author wrote and what kind 1059 was addressed to its
   author, whether it comes before or after the deletion. Nothing takes a deletion away.
3. A deleted version still replaces older ones. So a backend keeps a floor for each address: the
   newest version that a deletion took away. What is not newer than its floor is deleted, too.
4. What has expired is treated as if it had never come.
5. A request to vanish (kind 62) takes away what its author wrote and what kind 1059 was addressed
   to its author, up to its own second, whether that comes before or after it. Only requests to
   vanish stay, as the reason why. Whether a request means this relay is looked at before it is
   offered to a store.

A backend therefore does this with an event: refuse it if `is_expired`; if a stored deletion
`may_delete` it, or the floor of its `address` is not older, raise that floor to its `version`,
erase what it `supersedes` and refuse it; else erase what it `supersedes`, or refuse it if it is
superseded itself. A deletion erases what it `may_delete`, and raises floors: for each of its
`deletion_targets` addresses to `deletion_floor`, for each erased event to that event's `version`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache

from volok.model.event import Event, is_hex32, is_kind

DELETION = 5
"""Kind of a deletion request (NIP-09)."""

GIFT_WRAP = 1059
"""Kind of an event whose author is a throw-away key and whose addressee may delete it (NIP-59)."""

VANISH = 62
"""Kind of a request to vanish (NIP-62)."""

_DECIMAL = re.compile("[0-9]{1,16}")


class Lifetime(Enum):
    """The classes of kinds that NIP-01 defines."""

    REGULAR = "regular"
    REPLACEABLE = "replaceable"
    EPHEMERAL = "ephemeral"
    ADDRESSABLE = "addressable"


@dataclass(frozen=True, slots=True)
class Version:
    """The place of an event among those of the same address."""

    created_at: int
    id: str
    """Empty: older than none of the same second."""

    def newer_than(self, other: Version) -> bool:
        """The later one, then the one with the lower id (NIP-01)."""
        if self.created_at != other.created_at:
            return self.created_at > other.created_at
        return self.id < other.id


@dataclass(frozen=True, slots=True)
class Targets:
    """What a deletion names. By ids alone nobody knows yet whether it may delete them."""

    ids: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    """Addresses of the deletion's own author."""


@cache
def lifetime(kind: int) -> Lifetime:
    """The class of a kind (NIP-01); kinds that it does not class are regular."""
    if kind in (0, 3) or 10_000 <= kind < 20_000:
        return Lifetime.REPLACEABLE
    if 20_000 <= kind < 30_000:
        return Lifetime.EPHEMERAL
    if 30_000 <= kind < 40_000:
        return Lifetime.ADDRESSABLE
    return Lifetime.REGULAR


def address(event: Event) -> str | None:
    """What the versions of an event have in common, `kind:pubkey:d` as in `a` tags (NIP-01).

    d is empty for replaceable events. None for events that nothing replaces.
    """
    match lifetime(event.kind):
        case Lifetime.REPLACEABLE:
            return f"{event.kind}:{event.pubkey}:"
        case Lifetime.ADDRESSABLE:
            return f"{event.kind}:{event.pubkey}:{event.tag('d') or ''}"
    return None


def version(event: Event) -> Version:
    """The place of this event among those of its address."""
    return Version(event.created_at, event.id)


def supersedes(new: Event, old: Event) -> bool:
    """Whether both have the same address and `new` is to stay there."""
    place = address(new)
    return place is not None and place == address(old) and version(new).newer_than(version(old))


def deletion_targets(event: Event) -> Targets:
    """What a deletion names, without what is malformed or plainly another's; else nothing."""
    if event.kind != DELETION:
        return Targets()
    return Targets(
        ids=frozenset(filter(is_hex32, event.values("e"))),
        addresses=frozenset(a for a in event.values("a") if _is_own_address(a, event.pubkey)),
    )


def deletion_floor(deletion: Event) -> Version:
    """Up to which version a deletion takes away an address: all until its own second (NIP-09)."""
    return Version(deletion.created_at, "")


def may_delete(deletion: Event, target: Event) -> bool:
    """Whether `deletion` names `target` and its author has the right to delete it."""
    if deletion.kind != DELETION or target.kind == DELETION:
        return False
    targets = deletion_targets(deletion)
    if target.id in targets.ids:
        if target.pubkey == deletion.pubkey:
            return True
        return target.kind == GIFT_WRAP and deletion.pubkey in target.values("p")
    return address(target) in targets.addresses and target.created_at <= deletion.created_at


def may_have_deleted(event: Event) -> frozenset[str]:
    """The keys whose deletions could take this event away (NIP-09, NIP-59)."""
    others = event.values("p") if event.kind == GIFT_WRAP else ()
    return frozenset((event.pubkey, *others))


def vanishing_keys(event: Event) -> tuple[str, ...]:
    """The keys whose requests to vanish take this event away, if they are not older (NIP-62)."""
    if event.kind == VANISH:
        return ()
    if event.kind != GIFT_WRAP:
        return (event.pubkey,)
    named = [tag[1] for tag in event.tags if tag[0] == "p" and len(tag) > 1]
    return (event.pubkey, *[key for key in named if is_hex32(key)])


def expiration(event: Event) -> int | None:
    """The Unix second at which the event expires (NIP-40); None for never or malformed."""
    value = event.tag("expiration")
    return int(value) if value is not None and _DECIMAL.fullmatch(value) else None


def is_expired(event: Event, now: float) -> bool:
    """Whether the event has expired at `now`, in Unix seconds."""
    end = expiration(event)
    return end is not None and end <= now


def _is_own_address(value: str, author: str) -> bool:
    number, _, rest = value.partition(":")
    pubkey, colon, name = rest.partition(":")
    if not colon or pubkey != author or not _DECIMAL.fullmatch(number):
        return False
    kind = int(number)
    if not is_kind(kind) or str(kind) != number:
        return False
    of_kind = lifetime(kind)
    return of_kind is Lifetime.ADDRESSABLE or (of_kind is Lifetime.REPLACEABLE and not name)

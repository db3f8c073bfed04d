"""Filters (NIP-01, NIP-50): which events a subscriber asks for.

1. All conditions of a filter must hold; of the values of one condition, any one.
2. None is no condition. An empty set is a condition that nothing meets.
3. What this file does not know is refused rather than ignored: to ignore a condition would be to
   answer with more than was asked for.
4. A search orders stored events by how well they match; new events that match come as they appear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from volok.model.event import Event, is_hex32, is_kind, is_time
from volok.model.search import InvalidQuery, is_found, parse_query

T = TypeVar("T")


class InvalidFilter(ValueError):
    """This is not a filter that we understand."""


class UnknownCondition(InvalidFilter):
    """The filter asks for something that this file does not know; a later NIP may."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a subscription (NIP-01). `Filter()` matches every event."""

    ids: frozenset[str] | None = None
    authors: frozenset[str] | None = None
    kinds: frozenset[int] | None = None
    since: int | None = None
    """Unix seconds, inclusive."""
    until: int | None = None
    """Unix seconds, inclusive."""
    limit: int | None = None
    """How many stored events are wanted, newest first; it says nothing about new ones."""
    tags: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)
    """For each tag, by its letter without `#`, the values of which an event must have one."""
    search: str | None = None
    """Words that an event must have, as `volok.model.search.parse_query` gives them; never empty.
    They are for `search.is_found`; a store may find by an index that says the same."""

    def matches(self, event: Event) -> bool:
        """Whether the event meets every condition; `limit` is not one."""
        return (
            (self.kinds is None or event.kind in self.kinds)
            and (self.authors is None or event.pubkey in self.authors)
            and (self.ids is None or event.id in self.ids)
            and (self.since is None or event.created_at >= self.since)
            and (self.until is None or event.created_at <= self.until)
            and all(
                any(tag[0] == name and len(tag) > 1 and tag[1] in wanted for tag in event.tags)
                for name, wanted in self.tags.items()
            )
            and (self.search is None or is_found(self.search, event))
        )

    def to_object(self) -> dict[str, object]:
        """The filter as an object for a JSON encoder; the same for equal filters."""
        result: dict[str, object] = {}
        if self.ids is not None:
            result["ids"] = sorted(self.ids)
        if self.authors is not None:
            result["authors"] = sorted(self.authors)
        if self.kinds is not None:
            result["kinds"] = sorted(self.kinds)
        for name in sorted(self.tags):
            result[f"#{name}"] = sorted(self.tags[name])
        for name in ("since", "until", "limit", "search"):
            value = getattr(self, name)
            if value is not None:
                result[name] = value
        return result


def parse_filter(obj: object) -> Filter:
    """Read a filter from what a JSON decoder gave. Raises InvalidFilter, UnknownCondition.

    A search without words is no condition (NIP-50: extensions that one does not know are ignored).
    """
    if type(obj) is not dict:
        raise InvalidFilter("A filter is an object.")
    conditions: dict[str, frozenset[str] | frozenset[int] | int | str | None] = {}
    tags: dict[str, frozenset[str]] = {}
    for name, value in obj.items():
        if name in ("ids", "authors"):
            conditions[name] = _values(name, value, is_hex32)
        elif name == "kinds":
            conditions[name] = _values(name, value, is_kind)
        elif name in ("since", "until", "limit"):
            if not is_time(value):
                raise InvalidFilter(f"{name} is not a whole number from 0.")
            conditions[name] = value
        elif _is_tag(name):
            letter = name[1]
            tags[letter] = _values(name, value, is_hex32 if letter in "ep" else _is_text)
        elif name == "search":
            conditions[name] = _search(value)
        else:
            raise UnknownCondition("The filter holds an unknown condition.")
    return Filter(**conditions, tags=tags)  # type: ignore[arg-type]  # checked by name above


def _is_tag(name: object) -> bool:
    return (
        type(name) is str
        and len(name) == 2
        and name[0] == "#"
        and name[1].isascii()
        and name[1].isalpha()
    )


def _is_text(value: object) -> bool:
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _search(value: object) -> str | None:
    if not isinstance(value, str) or not _is_text(value):
        raise InvalidFilter("search is not a text.")
    try:
        return parse_query(value) or None
    except InvalidQuery as error:
        raise InvalidFilter(str(error)) from error


def _values(name: str, value: object, is_valid: Callable[[object], bool]) -> frozenset[T]:
    if type(value) is not list or not all(map(is_valid, value)):
        raise InvalidFilter(f"{name} is not a list of such values.")
    return frozenset(value)

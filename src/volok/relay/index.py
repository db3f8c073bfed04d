"""An inverted index of live filters: which subscriptions does a new event concern?

1. Each filter is listed under its most selective condition: ids, then the shorter of its tags and
   authors, then kinds; one without any of these is listed for every event.
2. What the lists yield is checked against the whole filter, so the choice only matters for speed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from volok.model.event import Event
from volok.model.filters import Filter

L = TypeVar("L")
Key = tuple[str, str | int]
"""The name of a condition (a tag as `#x`) and one of its values."""

_ANY: Key = ("", "")


class SubscriptionIndex(Generic[L]):
    """Subscriptions of listeners (any hashable), each named within its listener."""

    def __init__(self) -> None:
        self._lists: dict[Key, dict[tuple[L, str], list[Filter]]] = {}
        self._keys: dict[tuple[L, str], set[Key]] = {}

    def __len__(self) -> int:
        """How many subscriptions there are."""
        return len(self._keys)

    def add(self, listener: L, subscription: str, filters: Iterable[Filter]) -> None:
        """List a subscription; replaces one of the same name."""
        self.remove(listener, subscription)
        name = (listener, subscription)
        keys = self._keys[name] = set()
        for wanted in filters:
            for key in _keys_of_filter(wanted):
                self._lists.setdefault(key, {}).setdefault(name, []).append(wanted)
                keys.add(key)

    def remove(self, listener: L, subscription: str) -> None:
        """Forget a subscription, if there is such a one."""
        name = (listener, subscription)
        for key in self._keys.pop(name, ()):
            names = self._lists[key]
            del names[name]
            if not names:
                del self._lists[key]

    def matching(self, event: Event) -> dict[L, list[str]]:
        """The listeners that an event concerns, each with its matching subscriptions."""
        result: dict[L, list[str]] = defaultdict(list)
        found: set[tuple[L, str]] = set()
        for key in _keys_of_event(event):
            for name, filters in self._lists.get(key, {}).items():
                if name not in found and any(wanted.matches(event) for wanted in filters):
                    found.add(name)
                    result[name[0]].append(name[1])
        return result


def _keys_of_filter(wanted: Filter) -> list[Key]:
    if wanted.ids is not None:
        return [("id", value) for value in wanted.ids]
    choices: list[list[Key]] = [
        [(f"#{name}", value) for value in values] for name, values in wanted.tags.items()
    ]
    if wanted.authors is not None:
        choices.append([("author", value) for value in wanted.authors])
    if choices:
        return min(choices, key=len)
    if wanted.kinds is not None:
        return [("kind", value) for value in wanted.kinds]
    return [_ANY]


def _keys_of_event(event: Event) -> Iterator[Key]:
    yield _ANY
    yield "id", event.id
    yield "author", event.pubkey
    yield "kind", event.kind
    for tag in {tag[:2] for tag in event.tags if len(tag) > 1 and len(tag[0]) == 1}:
        yield f"#{tag[0]}", tag[1]

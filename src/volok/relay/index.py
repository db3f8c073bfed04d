"""An inverted index of live filters: which subscriptions does a new event concern?

1. Each filter is listed under its most selective condition: ids, then the shorter of its tags and
   authors, then kinds; one without any of these is listed for every event.
2. What the lists yield is checked against the whole filter, so the choice only matters for speed.
3. Equal filters are one: it is checked once however many subscriptions have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Generic, TypeVar

from volok.model.event import Event
from volok.model.filters import Filter

L = TypeVar("L")
Key = tuple[str, str | int]
"""The name of a condition (a tag as `#x`) and one of its values."""

_ANY: Key = ("", "")
_NONE: dict[Any, Any] = {}


class SubscriptionIndex(Generic[L]):
    """Subscriptions of listeners (any hashable), each named within its listener."""

    def __init__(self) -> None:
        self._lists: dict[Key, dict[Filter, dict[tuple[L, str], None]]] = {}
        self._filters: dict[tuple[L, str], tuple[Filter, ...]] = {}

    def __len__(self) -> int:
        """How many subscriptions there are."""
        return len(self._filters)

    def add(self, listener: L, subscription: str, filters: Iterable[Filter]) -> None:
        """List a subscription; replaces one of the same name."""
        self.remove(listener, subscription)
        name = (listener, subscription)
        self._filters[name] = tuple(replace(wanted, limit=None) for wanted in filters)
        for wanted in self._filters[name]:
            for key in _keys_of_filter(wanted):
                self._lists.setdefault(key, {}).setdefault(wanted, {})[name] = None

    def remove(self, listener: L, subscription: str) -> None:
        """Forget a subscription, if there is such a one."""
        name = (listener, subscription)
        for wanted in dict.fromkeys(self._filters.pop(name, ())):
            for key in _keys_of_filter(wanted):
                listed = self._lists[key]
                names = listed[wanted]
                del names[name]
                if not names:
                    del listed[wanted]
                if not listed:
                    del self._lists[key]

    def matching(self, event: Event) -> dict[L, list[str]]:
        """The listeners that an event concerns, each with its matching subscriptions."""
        found: dict[tuple[L, str], None] = {}
        for key in _keys_of_event(event):
            for wanted, names in self._lists.get(key, _NONE).items():
                if wanted.matches(event):
                    found.update(names)
        result: dict[L, list[str]] = {}
        for listener, subscription in found:
            result.setdefault(listener, []).append(subscription)
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

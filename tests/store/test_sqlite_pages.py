"""Long answers of the SQLite store, which take several statements, against a plain selection."""

from __future__ import annotations

from pathlib import Path

import pytest

from volok.model.event import Event
from volok.model.filters import Filter
from volok.store.conformance_tools import ALICE, BOB, CAROL, NOW, expected, make_event
from volok.store.sqlite_pages import FETCH, MERGED
from volok.store.sqlite_store import SqliteStore
from volok.store.store import Visibility

OTHERS = [f"{number:02x}" * 32 for number in range(1, 40)]
SEALED = Visibility(frozenset([1059]), frozenset([BOB]))


def make_events() -> list[Event]:
    """Three seconds in turn, so that many share one; most are sealed, for Bob or for others."""
    events = []
    for number in range(2 * FETCH + 400):
        kind, reader = (1, BOB) if number % 3 == 0 else (1059, BOB if number % 7 == 0 else CAROL)
        tags = [["p", reader], ["t", "ab"[number % 2]], *[["t", "a"]] * (number % 5 == 0)]
        author = OTHERS[number % len(OTHERS)] if number % 2 else ALICE
        events.append(make_event(kind, author, NOW - number % 3, tags, str(number)))
    return events


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(kinds=frozenset([1])),
        Filter(kinds=frozenset([1, 1059]), until=NOW - 1),
        Filter(authors=frozenset([ALICE, *OTHERS[: MERGED - 1]])),
        Filter(authors=frozenset([ALICE, *OTHERS[:MERGED]])),
        Filter(authors=frozenset([ALICE, *OTHERS[:3]]), since=NOW - 1),
        Filter(tags={"t": frozenset(["a", "b"])}),
        Filter(tags={"t": frozenset(["a", "b"]), "p": frozenset([CAROL])}),
    ],
)
@pytest.mark.parametrize("visible", [None, SEALED])
async def test_long_answers_are_whole_and_in_order(
    tmp_path: Path, wanted: Filter, visible: Visibility | None
) -> None:
    events = make_events()
    store = await SqliteStore.open(tmp_path / "store.db")
    await store.add(events, NOW)
    shown = [event for event in events if visible is None or visible.shows(event)]
    for limit in (7, FETCH, FETCH + 1, len(events)):
        found = await store.query([wanted], limit, NOW, visible)
        got = [entry.event for entry in found]
        assert [one.id for one in got] == [one.id for one in expected(shown, [wanted], limit, NOW)]
    await store.close()

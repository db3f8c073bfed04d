"""Paging finds everything, whatever a relay's limits are."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from volok.sync.backlog import Backlog

LIMIT = 5


@given(
    times=st.lists(st.tuples(st.sampled_from("abc"), st.integers(100, 160)), max_size=80).filter(
        lambda found: max(Counter(found).values(), default=0) < LIMIT
    ),
    per_filter=st.booleans(),
    inclusive=st.booleans(),
    since=st.integers(90, 130),
)
def test_everything_is_read(
    times: list[tuple[str, int]], per_filter: bool, inclusive: bool, since: int
) -> None:
    """A relay that caps at LIMIT, for each filter or in all, with `until` inclusive or not."""
    if not per_filter:
        # A cap over all filters must not be filled by a single second either.
        seconds = Counter(at for _, at in times)
        times = [one for one in times if seconds[one[1]] < LIMIT]
    events = [(box, at, number) for number, (box, at) in enumerate(times)]
    backlog = Backlog(dict.fromkeys("abc", since))
    read: set[int] = set()
    for _ in range(1000):
        pages = backlog.pages
        if not pages:
            break
        answer: list[tuple[str, int, int]] = []
        for box, (first, until) in pages.items():
            found = [
                one
                for one in events
                if one[0] == box
                and one[1] >= first
                and (until is None or one[1] < until + inclusive)
            ]
            found.sort(key=lambda one: (-one[1], one[2]))
            answer += found[:LIMIT] if per_filter else found
        answer.sort(key=lambda one: (-one[1], one[2]))
        for box, at, number in answer if per_filter else answer[:LIMIT]:
            read.add(number)
            backlog.took(box, at)
        backlog.page_ended()
    assert not backlog.pages
    assert read == {number for _, at, number in events if at >= since}


def test_nothing_there_is_one_page() -> None:
    backlog = Backlog({"a": 0, "b": 0})
    backlog.page_ended()
    assert backlog.pages == {}


def test_a_short_backlog_is_two_pages() -> None:
    backlog = Backlog({"a": 0, "b": 0})
    for at in range(10, 20):
        backlog.took("a", at)
    backlog.took("b", 15)
    backlog.page_ended()
    assert backlog.pages == {"a": (0, 11), "b": (0, 16)}
    backlog.took("a", 10)
    backlog.took("b", 15)
    backlog.page_ended()
    assert backlog.pages == {}

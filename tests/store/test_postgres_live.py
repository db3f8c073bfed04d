"""Batches of several processes in order, and the messages that carry them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.native import NativeCrypto
from volok.store.conformance_tools import make_event
from volok.store.postgres_live import Batch, InvalidMessage, Order, parse_message, to_messages
from volok.store.store import Entry

CRYPTO = NativeCrypto()
KEY = b"k" * 32


def entry(number: int, kind: int = 1, size: int = 0) -> Entry:
    event = make_event(kind, content=f"{number}" + "x" * size)
    return Entry(number, event.to_json(), event)


def batches(sizes: list[int], fleeting: set[int]) -> list[Batch]:
    found, last = [], 0
    for size in sizes:
        numbers = range(last + 1, last + size + 1)
        entries = [entry(n, 20_000 if n in fleeting else 1) for n in numbers]
        found.append(Batch(last, last + size, last + size, entries))
        last += size
    return found


sizes = st.lists(st.integers(1, 4), min_size=1, max_size=8)


@given(sizes, st.data())
def test_whatever_the_bus_does_each_entry_comes_once_and_in_order(
    lengths: list[int], data: st.DataObject
) -> None:
    """Messages may be lost, repeated and reordered, and the database be read at any moment."""
    fleeting = data.draw(st.sets(st.integers(1, 32)))
    whole = batches(lengths, fleeting)
    last = whole[-1].last
    stored = [e for b in whole for e in b.entries if e.number not in fleeting]
    order, shown = Order(0), []
    for turn in data.draw(st.lists(st.integers(-1, len(whole) - 1), max_size=20)):
        if turn >= 0:
            ready = order.offer(whole[turn])
        else:
            until = whole[data.draw(st.integers(0, len(whole) - 1))].last
            if until <= order.position:
                continue
            rows = [e for e in stored if order.position < e.number <= until]
            ready = order.fill(Batch(order.position, until, until, rows))
        shown += [e for batch in ready for e in batch.entries]
    if order.position < last:
        rows = [e for e in stored if e.number > order.position]
        for batch in order.fill(Batch(order.position, last, last, rows)):
            shown += batch.entries
    assert [e.number for e in shown] == sorted({e.number for e in shown})
    assert {e.number for e in stored} <= {e.number for e in shown}
    assert order.position == last
    assert not order.has_gap


@given(sizes)
def test_in_reverse_order_nothing_is_lost(lengths: list[int]) -> None:
    whole, order = batches(lengths, set(range(1, 40, 3))), Order(0)
    shown = [b for batch in reversed(whole) for b in order.offer(batch)]
    assert [e for b in shown for e in b.entries] == [e for b in whole for e in b.entries]


def test_ephemeral_events_that_wait_are_shown_in_their_place() -> None:
    order = Order(0)
    assert order.offer(Batch(2, 4, 4, [entry(3, 20_000), entry(4)])) == []
    assert order.has_gap
    (filled,) = order.fill(Batch(0, 4, 4, [entry(1), entry(2), entry(4)]))
    assert [e.number for e in filled.entries] == [1, 2, 3, 4]
    assert not order.has_gap


@given(st.lists(st.integers(0, 900), max_size=12), st.integers(300, 3000))
def test_messages_give_the_batch_back(sizes: list[int], most: int) -> None:
    entries = [entry(5 + 2 * n, size=size) for n, size in enumerate(sizes)]
    last = 4 + 2 * len(sizes) + 3
    batch = Batch(4, last, last, entries)
    order, shown = Order(4), []
    for message in to_messages(batch, CRYPTO, KEY, most):
        ready = order.offer(parse_message(message, CRYPTO, KEY))
        shown += [e for part in ready for e in part.entries]
        assert len(message) < most + 1500
    assert shown == entries
    assert order.position == last


@given(st.binary(max_size=200), st.integers(0, 400))
def test_what_no_relay_of_ours_sent(garbage: bytes, place: int) -> None:
    (message,) = to_messages(Batch(0, 1, 1, [entry(1)]), CRYPTO, KEY, 10**6)
    damaged = bytearray(message)
    damaged[place % len(message)] ^= 1
    sealed = os.urandom(12)
    for wrong in (
        garbage,
        bytes(damaged),
        message[:-1],
        sealed + CRYPTO.encrypt(KEY, sealed, garbage, b""),
    ):
        with pytest.raises(InvalidMessage):
            parse_message(wrong, CRYPTO, KEY)
    with pytest.raises(InvalidMessage):
        parse_message(message, CRYPTO, b"o" * 32)

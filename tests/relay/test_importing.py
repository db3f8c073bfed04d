"""JSON lines into a store and out of it."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.model.event import InvalidEvent
from volok.model.filters import Filter
from volok.native import NativeCrypto
from volok.relay.export import export_events
from volok.relay.importing import ImportReport, import_lines, lines_of, read_line
from volok.store.memory_store import MemoryStore
from volok.store.sqlite_store import SqliteStore

NOW = 1_800_000_000
CRYPTO = NativeCrypto()
URL = "wss://relay.example"


def as_strfry(event) -> dict:
    """The fields in the order in which strfry writes them."""
    fields = json.loads(event.to_json())
    return {name: fields[name] for name in sorted(fields)}


async def take(lines: bytes, store=None, **options) -> ImportReport:
    store = store or MemoryStore()
    file = io.BytesIO(lines)
    return await import_lines(lines_of(file), store, CRYPTO, lambda: NOW, **options)


async def test_what_strfry_exports_comes_in(people):
    events = [people[n % 4].event(1, f'№ {n} "\\\n\t\x01\x7f/🛶') for n in range(5)]
    lines = [
        json.dumps(as_strfry(events[0]), separators=(",", ":"), ensure_ascii=False),
        json.dumps(as_strfry(events[1])),
        json.dumps(as_strfry(events[2]) | {"fried": "00ff"}),
        json.dumps(as_strfry(events[3])).replace("/", "\\/"),
        "",
        json.dumps(as_strfry(events[4])) + "\r",
        json.dumps(as_strfry(events[0])),
    ]
    store = MemoryStore()
    report = await take("\n".join(lines).encode(), store)
    assert report == ImportReport(added=5, duplicate=1)
    found = await store.query([Filter()], 10, NOW)
    assert {entry.raw for entry in found} == {event.to_json() for event in events}


async def test_an_export_comes_back_as_the_same_store(people, tmp_path):
    source = MemoryStore()
    events = [people[n % 3].event(1, str(n), at=NOW - n) for n in range(1200)]
    for event in (*events, people[0].event(5, tags=[["e", events[0].id]])):
        await source.add([event], NOW)
    lines = b"".join([line async for line in export_events(source, NOW)])
    target = await SqliteStore.open(tmp_path / "events.db")
    heard = []
    try:
        report = await take(lines, target, progress=lambda so_far: heard.append(so_far.lines))
        assert report == ImportReport(added=1200)
        assert heard == [1000, 1200]
        again = b"".join([line async for line in export_events(target, NOW)])
        assert again == lines
        assert (await take(events[0].to_json(), target)) == ImportReport(deleted=1)
    finally:
        await target.close()


async def test_bad_lines_are_counted_and_stop_nothing(people):
    anna = people[0]
    good, other = anna.event(1, "good"), anna.event(1, "other")
    fields = json.loads(other.to_json())
    old, new = anna.event(0, at=NOW - 1), anna.event(0)
    lines = [
        *(
            json.dumps(fields | change).encode()
            for change in ({"content": "x"}, {"sig": "0" * 128})
        ),
        *(json.dumps(fields | change).encode() for change in ({"kind": -1}, {"tags": [[]]})),
        b"not JSON",
        b"[" * 10_000,
        b'{"id":"\xff"}',
        b"null",
        anna.event(22_242).to_json(),
        anna.event(20_001).to_json(),
        anna.event(62, tags=[["relay", "wss://other.example"]]).to_json(),
        anna.event(1, tags=[["expiration", str(NOW)]]).to_json(),
        new.to_json(),
        old.to_json(),
        good.to_json(),
        b"",
        b"   ",
    ]
    report = await take(b"\n".join(lines), public_urls=[URL])
    expected = ImportReport(added=2, superseded=1, expired=1, malformed=6, forged=2, not_kept=3)
    assert report == expected
    assert report.lines == 15


async def test_a_request_to_vanish_from_this_relay_takes_effect(people):
    note, request = people[0].event(1), people[0].event(62, tags=[["relay", f"{URL}/"]])
    lines = b"\n".join(event.to_json() for event in (note, request, note))
    assert await take(lines, public_urls=[URL]) == ImportReport(added=2, deleted=1)


async def test_signatures_may_be_believed(people):
    forged = json.dumps(json.loads(people[0].event().to_json()) | {"sig": "0" * 128}).encode()
    assert await take(forged) == ImportReport(forged=1)
    assert await take(forged, verify=False) == ImportReport(added=1)


def test_long_lines_are_passed_over_in_bounded_memory():
    file = io.BytesIO(b"a" * 10 + b"\n" + b"b" * 11 + b"\n" + b"c" * 100 + b"\r\n" + b"d" * 10)
    assert list(lines_of(file, 10)) == [b"a" * 10, None, None, b"d" * 10]


@given(st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line)))
def test_every_line_is_seen_once(lines):
    wanted = [None if len(line.rstrip(b"\r\n")) > 5 else line.strip() for line in lines]
    given = list(lines_of(io.BytesIO(b"\n".join(lines)), 5))
    assert given == [line for line in wanted if line is None or line]


@given(
    st.binary(max_size=40)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    ).map(lambda value: json.dumps(value).encode())
)
def test_garbage_raises_invalid_event(line):
    with pytest.raises(InvalidEvent):
        read_line(line)

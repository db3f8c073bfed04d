"""Uploads in parts, as a client sees them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.relay.test_blossom import DATA, NAME, token

from volok.relay.parts import InvalidPart, parse_part


@pytest.fixture
async def http(relay):
    async with httpx.AsyncClient(base_url=relay.address.http_url) as client:
        yield client


def headers(person, offset, **changes):
    return {
        **token(person),
        "Upload-Type": "application/octet-stream",
        "Upload-Length": str(len(DATA)),
        "Upload-Offset": str(offset),
        "Content-Type": "application/octet-stream",
        **changes,
    }


async def part(http, person, start, end, data=DATA, **changes):
    return await http.patch(
        f"/{NAME}", content=data[start:end], headers=headers(person, start, **changes)
    )


async def test_a_blob_comes_in_parts(relay, http, people):
    head = await http.head(f"/{NAME}")
    assert head.status_code == 404
    assert "PATCH" in head.headers["allow"]
    first = await part(http, people[0], 0, 100_000)
    assert (first.status_code, first.headers["upload-offset"]) == (204, "100000")
    assert relay.metrics.uploads_unfinished == 1
    assert (await http.get(f"/{NAME}")).status_code == 404
    # A part may repeat what is here; an empty one asks how much that is.
    again = await part(http, people[0], 50_000, 150_000)
    assert (again.status_code, again.headers["upload-offset"]) == (204, "150000")
    asked = await part(http, people[0], 0, 0)
    assert (asked.status_code, asked.headers["upload-offset"]) == (204, "150000")
    last = await part(http, people[0], 150_000, len(DATA))
    assert last.status_code == 201
    assert last.json()["sha256"] == NAME
    assert (await http.get(f"/{NAME}")).content == DATA
    assert relay.metrics.uploads_unfinished == 0
    assert relay.metrics.blobs_added == 1
    assert (await part(http, people[1], 0, 10)).status_code == 200
    deleted = await http.delete(f"/{NAME}", headers=token(people[0], "delete"))
    assert deleted.status_code == 204


async def test_a_gap_is_refused_and_the_way_on_is_told(http, people):
    nothing = await part(http, people[0], 10, 20)
    assert (nothing.status_code, nothing.headers["upload-offset"]) == (416, "0")
    await part(http, people[0], 0, 100)
    gap = await part(http, people[0], 200, 300)
    assert (gap.status_code, gap.headers["upload-offset"]) == (416, "100")


async def test_nobody_else_adds_to_an_upload(relay, http, people):
    await part(http, people[0], 0, 100)
    spoilt = await part(http, people[1], 100, len(DATA), data=b"!" * len(DATA))
    assert (spoilt.status_code, spoilt.headers["upload-offset"]) == (416, "0")
    assert (await part(http, people[0], 100, len(DATA))).status_code == 201
    assert await relay.blobs.get(NAME) == DATA


async def test_other_bytes_are_forgotten(relay, http, people):
    assert (await part(http, people[0], 0, len(DATA), data=b"!" + DATA)).status_code == 409
    assert relay.metrics.uploads_unfinished == 0
    assert await relay.blobs.names() == []
    assert relay.uploads.time(NAME) is None
    assert (await part(http, people[0], 0, len(DATA))).status_code == 201


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Upload-Length": "-1"}, 400),
        ({"Upload-Length": "9" * 14}, 413),
        ({"Upload-Length": "9" * 40}, 400),
        ({"Upload-Offset": "x"}, 400),
        ({"Upload-Offset": str(len(DATA))}, 416),
        ({"Upload-Length": "5"}, 416),
        ({"Authorization": "Nostr nonsense"}, 401),
    ],
)
async def test_malformed_parts(relay, http, people, changes, status):
    answer = await part(http, people[0], 0, 100, **changes)
    assert answer.status_code == status
    assert answer.headers["x-reason"]
    assert relay.metrics.uploads_unfinished == 0


async def test_a_part_needs_a_length(http, people):
    async def pieces() -> AsyncIterator[bytes]:
        yield DATA

    answer = await http.patch(f"/{NAME}", content=pieces(), headers=headers(people[0], 0))
    assert answer.status_code == 411


async def test_what_arrived_of_a_part_that_was_cut_is_kept(relay, http, people):
    fields = {**headers(people[0], 0), "Host": "127.0.0.1", "Content-Length": str(len(DATA))}
    lines = [f"{name}: {value}" for name, value in fields.items()]
    _, writer = await asyncio.open_connection("127.0.0.1", relay.address.port)
    writer.write("\r\n".join([f"PATCH /{NAME} HTTP/1.1", *lines]).encode() + b"\r\n\r\n")
    writer.write(DATA[:5000])
    await writer.drain()
    # The connection stays: a border that drops everything tells neither end.
    async with asyncio.timeout(10):
        while (await part(http, people[0], 0, 0)).headers["upload-offset"] != "5000":
            continue
    assert (await part(http, people[0], 5000, len(DATA))).status_code == 201
    writer.close()


async def test_all_uploads_together_are_bounded(start, people):
    async with (
        start(max_unfinished_bytes=1000) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        assert (await part(http, people[0], 0, 800)).status_code == 204
        full = await part(http, people[1], 0, 300)
        assert (full.status_code, full.headers["upload-offset"]) == (503, "0")
        assert (await part(http, people[0], 700, 1000)).status_code == 204
        assert relay.metrics.uploads_unfinished == 1


async def test_what_stands_still_is_erased(start, people):
    async with (
        start(sweep_seconds=0.02, unfinished_seconds=60) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        await part(http, people[0], 0, 800)
        relay.clock.now += 30
        await part(http, people[0], 800, 900)
        relay.clock.now += 61
        async with asyncio.timeout(10):
            while not relay.metrics.uploads_abandoned:
                await http.head(f"/{NAME}")
        assert relay.metrics.uploads_unfinished == 0
        late = token(people[0], until=relay.clock.now + 60)
        answer = await part(http, people[0], 900, 1000, **late)
        assert (answer.status_code, answer.headers["upload-offset"]) == (416, "0")


@given(
    st.dictionaries(
        st.sampled_from(["upload-offset", "upload-length", "content-length"]),
        st.one_of(st.text(max_size=20), st.integers(-5, 10**17).map(str)),
    )
)
def test_any_headers_are_a_part_or_refused(given_headers):
    with contextlib.suppress(InvalidPart):
        found = parse_part(given_headers, 10**6)
        assert 0 <= found.offset <= found.offset + found.length <= found.total <= 10**6

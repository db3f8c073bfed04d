"""Blobs over HTTP as a Blossom client sees them: BUD-01, BUD-02, BUD-06, BUD-08, BUD-09, BUD-11 and
the DELETE of BUD-12."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import shutil

import httpx
import pytest
from tests.relay.conftest import CRYPTO

from volok.relay.run import run_relay
from volok.relay.settings import DAY, RelaySettings

NOW = 1_800_000_000
DATA = b"some bytes " * 20_000
NAME = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
async def http(relay):
    async with httpx.AsyncClient(base_url=relay.address.http_url) as client:
        yield client


def token(person, verb="upload", blob=NAME, **changes):
    tags = [["t", verb], ["x", blob], ["expiration", str(changes.pop("until", NOW + 60))]]
    raw = person.event(24242, "for a test", tags).to_json()
    return {"Authorization": "Nostr " + base64.urlsafe_b64encode(raw).decode().rstrip("=")}


async def upload(http, person, data=DATA, **headers):
    name = hashlib.sha256(data).hexdigest()
    return await http.put("/upload", content=data, headers=token(person, blob=name) | headers)


async def test_upload_and_download(relay, http, people):
    answer = await upload(http, people[0], **{"X-SHA-256": NAME})
    assert answer.status_code == 201
    url = f"{relay.address.http_url}/{NAME}.bin"
    assert answer.json() == {
        "url": url,
        "sha256": NAME,
        "size": len(DATA),
        "type": "application/octet-stream",
        "uploaded": NOW,
        "nip94": [
            ["url", url],
            ["m", "application/octet-stream"],
            ["x", NAME],
            ["size", str(len(DATA))],
        ],
    }
    assert (await upload(http, people[1])).status_code == 200
    for path in (url, f"/{NAME}", f"/{NAME}.pdf", f"{relay.address.http_url}//{NAME}"):
        got = await http.get(path)
        assert got.status_code == 200
        assert got.content == DATA
        assert got.headers["content-type"] == "application/octet-stream"
        assert got.headers["access-control-allow-origin"] == "*"
        # Whatever the bytes are, a browser makes no page and no script of them.
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["content-disposition"] == "attachment"
        assert "sandbox" in got.headers["content-security-policy"]
    head = await http.head(f"/{NAME}")
    assert head.content == b""
    assert head.headers["content-length"] == str(len(DATA))
    assert head.headers["accept-ranges"] == "bytes"
    assert head.headers["sunset"] == "Sun, 14 Feb 2027 08:00:00 GMT"


async def test_chunked_uploads_need_no_length(http, people):
    async def pieces():
        for start in range(0, len(DATA), 7_000):
            yield DATA[start : start + 7_000]

    answer = await http.put("/upload", content=pieces(), headers=token(people[0]))
    assert answer.status_code == 201
    assert (await http.get(f"/{NAME}")).content == DATA


async def test_ranges(http, people):
    await upload(http, people[0])
    got = await http.get(f"/{NAME}", headers={"Range": "bytes=5-104"})
    assert (got.status_code, got.content) == (206, DATA[5:105])
    assert got.headers["content-range"] == f"bytes 5-104/{len(DATA)}"
    assert got.headers["content-length"] == "100"
    got = await http.get(f"/{NAME}", headers={"Range": "bytes=-3"})
    assert got.content == DATA[-3:]
    got = await http.get(f"/{NAME}", headers={"Range": f"bytes={len(DATA)}-"})
    assert got.status_code == 416
    assert got.headers["content-range"] == f"bytes */{len(DATA)}"


async def test_what_a_client_has_already_is_not_sent_again(http, people):
    await upload(http, people[0])
    tag = (await http.head(f"/{NAME}")).headers["etag"]
    assert tag == f'"{NAME}"'
    for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        for method in ("GET", "HEAD"):
            got = await http.request(method, f"/{NAME}", headers={"If-None-Match": condition})
            assert (got.status_code, got.content) == (304, b"")
            assert got.headers["etag"] == tag
    got = await http.get(f"/{NAME}", headers={"If-None-Match": '"other"'})
    assert (got.status_code, got.content) == (200, DATA)
    assert (await http.get(f"/{NAME}", headers={"If-Match": '"other"'})).status_code == 412
    assert (await http.get(f"/{NAME}", headers={"If-Match": tag})).status_code == 200


async def test_a_range_goes_on_only_with_the_same_blob(http, people):
    await upload(http, people[0])
    asked = {"Range": "bytes=10-19"}
    same = await http.get(f"/{NAME}", headers=asked | {"If-Range": f'"{NAME}"'})
    assert (same.status_code, same.content) == (206, DATA[10:20])
    for other in ('"other"', f'W/"{NAME}"', "Sun, 14 Feb 2027 08:00:00 GMT"):
        got = await http.get(f"/{NAME}", headers=asked | {"If-Range": other})
        assert (got.status_code, got.content) == (200, DATA)
    # A range means nothing to HEAD (RFC 9110, section 14.2).
    head = await http.head(f"/{NAME}", headers=asked)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(DATA)))


async def test_no_cache_keeps_a_blob_for_longer_than_we_do(relay, http, people):
    await upload(http, people[0])
    relay.clock.now += 29 * DAY
    got = await http.head(f"/{NAME}")
    assert got.headers["cache-control"] == f"public, max-age={DAY}, immutable"
    relay.clock.now += 2 * DAY
    assert "max-age=0," in (await http.head(f"/{NAME}")).headers["cache-control"]


async def test_an_upload_may_be_looked_at_before(relay, http, people):
    about = {"X-SHA-256": NAME, "X-Content-Length": str(len(DATA)), "X-Content-Type": "image/png"}
    cases = [
        (token(people[0]) | about, 200),
        (about, 401),
        (token(people[0], "delete") | about, 401),
        (token(people[0]) | about | {"X-SHA-256": "nonsense"}, 401),
        (token(people[0]) | {"X-SHA-256": NAME}, 411),
        (token(people[0]) | about | {"X-Content-Length": "-1"}, 400),
        (token(people[0]) | about | {"X-Content-Length": str(10**12)}, 413),
        (token(people[0]) | about | {"X-Content-Length": "9" * 5000}, 400),
    ]
    for headers, status in cases:
        answer = await http.head("/upload", headers=headers)
        assert (answer.status_code, answer.content) == (status, b"")
        assert (status == 200) != ("x-reason" in answer.headers)
    assert await relay.blobs.names() == []


async def test_blobs_leave_room_on_the_disk(tmp_path, people):
    free = shutil.disk_usage(tmp_path).free
    settings = RelaySettings(min_free_bytes=free + 10**12)
    async with (
        run_relay("127.0.0.1", 0, tmp_path, settings, CRYPTO, lambda: NOW) as address,
        httpx.AsyncClient(base_url=address.http_url) as http,
    ):
        part = token(people[0]) | {"Upload-Offset": "0", "Upload-Length": str(len(DATA))}
        about = token(people[0]) | {"X-SHA-256": NAME, "X-Content-Length": "5"}
        for answer in (
            await upload(http, people[0]),
            await http.patch(f"/{NAME}", content=DATA[:10], headers=part),
            await http.head("/upload", headers=about),
        ):
            assert answer.status_code == 507
        assert (await http.get(f"/{NAME}")).status_code == 404


async def test_reports_that_are_none(start, people):
    good = people[0].event(1984, "look", [["x", NAME, "malware"]])
    async with (
        start(admins=(people[3].pubkey,)) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        await upload(http, people[0])
        forged = good.to_json().replace(b"look", b"hook")
        old = people[0].event(1984, "look", [["x", NAME]], at=NOW - 2 * DAY)
        note = people[0].event(1, "look", [["x", NAME]])
        cases = [
            (good.to_json(), 204),
            (forged, 400),
            (old.to_json(), 400),
            (note.to_json(), 400),
            (people[0].event(1984, "look", [["x", "short"]]).to_json(), 400),
            (people[0].event(1984, "look", [["x", "00" * 32]]).to_json(), 404),
            (b"[" * 10_000, 400),
            (b"\xff", 400),
            (bytes(70_000), 413),
        ]
        for body, status in cases:
            assert (await http.put("/report", content=body)).status_code == status
        assert relay.metrics.blobs_reported == 1


@pytest.mark.parametrize("path", [f"/{'00' * 32}", "/short", f"/{NAME.upper()}", "/list/" + NAME])
async def test_what_is_not_there(http, people, path):
    await upload(http, people[0])
    got = await http.get(path)
    assert got.status_code == 404
    assert got.headers["x-reason"]
    assert got.headers["access-control-allow-origin"] == "*"


async def test_an_empty_blob(http, people):
    assert (await upload(http, people[0], b"")).status_code == 201
    got = await http.get("/" + hashlib.sha256(b"").hexdigest())
    assert (got.status_code, got.content) == (200, b"")


async def test_uploads_need_a_token_for_these_bytes(relay, http, people):
    other = "bb" * 32
    cases = [
        ({}, 401),
        (token(people[0], "delete"), 401),
        (token(people[0], until=NOW - 1), 401),
        (token(people[0], blob=other) | {"X-SHA-256": NAME}, 401),
        (token(people[0], blob=other), 409),
        (token(people[0]) | {"X-SHA-256": "nonsense"}, 401),
    ]
    for headers, status in cases:
        answer = await http.put("/upload", content=DATA, headers=headers)
        assert answer.status_code == status
        assert answer.headers["x-reason"]
    assert await relay.blobs.names() == []
    assert relay.uploads.time(NAME) is None
    assert relay.uploads.time(other) is None


async def test_larger_blobs_are_refused_announced_or_not(start, people):
    async def pieces():
        yield DATA

    async with (
        start(max_blob_bytes=1000) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        assert (await upload(http, people[0])).status_code == 413
        answer = await http.put("/upload", content=pieces(), headers=token(people[0]))
        assert answer.status_code == 413
        assert await relay.blobs.names() == []
        assert (await upload(http, people[0], DATA[:1000])).status_code == 201


async def test_the_last_key_that_brought_a_blob_deletes_it(relay, http, people):
    anna, boris, stranger = people[:3]
    await upload(http, anna)
    await upload(http, boris)
    delete = f"/{NAME}"
    assert (await http.delete(delete)).status_code == 401
    assert (await http.delete(delete, headers=token(anna))).status_code == 401
    assert (await http.delete(delete, headers=token(stranger, "delete"))).status_code == 403
    assert (await http.delete(delete, headers=token(anna, "delete"))).status_code == 204
    assert (await http.get(delete)).content == DATA
    assert (await http.delete(delete, headers=token(anna, "delete"))).status_code == 403
    assert (await http.delete(delete, headers=token(boris, "delete"))).status_code == 204
    assert (await http.get(delete)).status_code == 404
    assert (await http.delete(delete, headers=token(boris, "delete"))).status_code == 404
    assert await relay.blobs.names() == []


async def test_bytes_of_the_node_itself_are_nobody_elses_to_delete(relay, http, people):
    await relay.blobs.put(DATA)
    assert (await upload(http, people[0])).status_code == 200
    answer = await http.delete(f"/{NAME}", headers=token(people[0], "delete"))
    assert answer.status_code == 403
    assert await relay.blobs.has(NAME)


async def test_old_blobs_are_swept(start, people):
    async with (
        start(sweep_seconds=0.02, blob_days=2) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        await upload(http, people[0])
        await upload(http, people[0], b"another")
        await relay.blobs.put(b"the node's own")
        relay.clock.now += DAY
        late = token(people[0], until=NOW + 3 * DAY)
        assert (await http.put("/upload", content=DATA, headers=late)).status_code == 200
        relay.clock.now += DAY + 1
        for _ in range(500):
            if relay.metrics.blobs_expired:
                break
            await http.head(f"/{NAME}")
        assert relay.metrics.blobs_expired == 1
        names = {NAME, hashlib.sha256(b"the node's own").hexdigest()}
        assert set(await relay.blobs.names()) == names


async def test_behind_a_proxy_blobs_have_the_public_name(start, people):
    async with (
        start(public_urls=("wss://relay.example",)) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        assert (await upload(http, people[0])).json()["url"] == f"https://relay.example/{NAME}.bin"


async def test_a_cut_upload_leaves_nothing(relay, people):
    lines = [
        "PUT /upload HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Length: {len(DATA)}",
        f"Authorization: {token(people[0])['Authorization']}",
    ]
    _, writer = await asyncio.open_connection("127.0.0.1", relay.address.port)
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + DATA[:1000])
    await writer.drain()
    writer.close()
    async with asyncio.timeout(5):
        while relay.metrics.blobs_refused == 0:
            await asyncio.sleep(0.01)
    assert await relay.blobs.names() == []
    assert relay.uploads.time(NAME) is None


async def test_preflights_and_strange_origins(start):
    async with (
        start(origin_allowed=lambda origin: origin != "http://strange.example") as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        answer = await http.options("/upload", headers={"Origin": "http://known.example"})
        assert answer.status_code == 204
        assert "Authorization" in answer.headers["access-control-allow-headers"]
        assert "DELETE" in answer.headers["access-control-allow-methods"]
        for method in ("OPTIONS", "GET", "PUT"):
            answer = await http.request(method, "/", headers={"Origin": "http://strange.example"})
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers


async def test_without_blobs_there_is_no_such_server(start, people):
    async with (
        start(accept_blobs=False) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        assert (await upload(http, people[0], os.urandom(10))).status_code == 404
        assert (await http.get(f"/{NAME}")).status_code == 404

"""The management API (NIP-86) as an operator's client sees it, over HTTP and websocket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import time
from contextlib import asynccontextmanager

import httpx
import websockets
from tests.relay.test_blossom import token, upload

from volok.native import NativeCrypto
from volok.relay.management import Management
from volok.relay.management_state import FILE, StateFile
from volok.relay.metrics import Metrics
from volok.relay.reports import Reports
from volok.relay.run import run_relay
from volok.relay.settings import RelaySettings
from volok.store.memory_store import MemoryStore

NOW = 1_800_000_000
ADMIN = 3
"""The person who manages."""


class Operator:
    """Calls a relay."""

    def __init__(self, http, person, url):
        self.http, self.person, self.url = http, person, url
        self._times = iter(range(NOW, NOW + 60))

    def request(self, name, /, *params, **changes):
        body = json.dumps({"method": name, "params": list(params)}).encode()
        body = changes.pop("body", body)
        at = changes.pop("at", None) or next(self._times)
        tags = {"u": self.url, "method": "POST", "payload": hashlib.sha256(body).hexdigest()}
        event = self.person.event(27235, "", [[*pair] for pair in (tags | changes).items()], at)
        text = base64.b64encode(event.to_json()).decode()
        headers = {
            "Content-Type": "application/nostr+json+rpc",
            "Authorization": f"Nostr {text}",
        }
        return {"content": body, "headers": headers}

    async def post(self, name, /, *params, **changes):
        return await self.http.post("/", **self.request(name, *params, **changes))

    async def call(self, method, *params):
        answer = await self.post(method, *params)
        assert answer.status_code == 200, answer.headers.get("x-reason")
        assert "error" not in answer.json(), answer.json()
        return answer.json()["result"]


@asynccontextmanager
async def managed(start, people, **changes):
    async with (
        start(admins=(people[ADMIN].pubkey,), **changes) as relay,
        httpx.AsyncClient(base_url=relay.address.http_url) as http,
    ):
        yield relay, http, Operator(http, people[ADMIN], relay.address.websocket_url)


async def test_the_methods(start, people):
    async with managed(start, people) as (_, _http, operator):
        methods = await operator.call("supportedmethods")
        assert {"banpubkey", "listbannedpubkeys", "banevent", "allowkind"} <= set(methods)
        assert "supportedmethods" not in methods
        assert "blockip" not in methods
        for method in methods:
            if method.startswith("list"):
                assert await operator.call(method) == []
        answer = await operator.post("blockip", "192.0.2.1")
        assert answer.status_code == 200
        assert "no such method" in answer.json()["error"]
        answer = await operator.post("banpubkey", "somebody")
        assert "64" in answer.json()["error"]


async def test_a_banned_key_is_gone_and_stays_away(start, people):
    anna, boris = people[:2]
    async with managed(start, people) as (relay, _, operator):
        client = await relay.connect()
        for person in (anna, boris):
            for text in "one", "two":
                assert (await client.publish(person.event(content=text)))[2]
        assert await operator.call("banpubkey", anna.pubkey, "spam") is True
        assert await operator.call("listbannedpubkeys") == [
            {"pubkey": anna.pubkey, "reason": "spam"}
        ]
        assert await client.fetch({"authors": [anna.pubkey]}) == []
        assert len(await client.fetch({"authors": [boris.pubkey]})) == 2
        answer = await client.publish(anna.event(content="three"))
        assert answer[2:] == [False, "blocked: this key may not write here"]
        await operator.call("unbanpubkey", anna.pubkey)
        assert (await client.publish(anna.event(content="three")))[2]


async def test_a_banned_event_is_gone_and_stays_away(start, people):
    async with managed(start, people) as (relay, _, operator):
        client = await relay.connect()
        event = people[0].event(content="bad")
        await client.publish(event)
        await operator.call("banevent", event.id)
        assert await client.fetch({"ids": [event.id]}) == []
        assert not (await client.publish(event))[2]
        await operator.call("allowevent", event.id)
        assert await operator.call("listbannedevents") == []


async def test_reported_events_wait_for_a_moderator(start, people):
    async with managed(start, people) as (relay, _, operator):
        client = await relay.connect()
        event, other = people[0].event(content="bad"), people[0].event(content="good")
        await client.publish(event)
        await client.publish(other)
        for one, kind in ((event, "spam"), (event, "illegal"), (other, "spam")):
            tags = [["e", one.id, kind], ["e", "00" * 32, "spam"]]
            await client.publish(people[1].event(1984, kind, tags))
        waiting = await operator.call("listeventsneedingmoderation")
        assert {"id": event.id, "reason": "illegal, spam"} in waiting
        assert len(waiting) == 2
        await operator.call("banevent", event.id)
        await operator.call("allowevent", other.id)
        assert await operator.call("listeventsneedingmoderation") == []
        assert await client.fetch({"ids": [other.id]}) == [other.id]


async def test_allowed_keys_and_kinds(start, people):
    anna, boris = people[:2]
    async with managed(start, people) as (relay, http, operator):
        client = await relay.connect()
        await operator.call("allowpubkey", anna.pubkey)
        await operator.call("allowkind", 1)
        assert (await client.publish(anna.event(1)))[2]
        assert (await client.publish(anna.event(7)))[3].startswith("blocked:")
        assert (await client.publish(boris.event(1)))[3].startswith("restricted:")
        assert (await upload(http, boris)).status_code == 403
        assert (await upload(http, anna)).status_code == 201
        accept = {"Accept": "application/nostr+json"}
        document = (await http.get("/", headers=accept)).json()
        assert document["limitation"]["restricted_writes"] is True
        assert {86, 98} <= set(document["supported_nips"])


async def test_what_is_shown_of_the_relay(start, people):
    async with managed(start, people) as (_, http, operator):
        await operator.call("changerelayname", "Лодка")
        await operator.call("changerelaydescription", "for us")
        await operator.call("changerelayicon", "https://relay.example/a.png")
        document = (await http.get("/", headers={"Accept": "application/nostr+json"})).json()
        assert document["name"] == "Лодка"
        assert document["description"] == "for us"
        assert document["icon"] == "https://relay.example/a.png"


async def test_a_banned_blob_is_gone_and_stays_away(start, people):
    data = b"a blob that nobody should have"
    name = hashlib.sha256(data).hexdigest()
    async with managed(start, people) as (relay, http, operator):
        assert (await upload(http, people[0], data)).status_code == 201
        report = people[1].event(1984, "look", [["x", name, "malware"], ["x", "00" * 32, "spam"]])
        for _ in range(2):
            answer = await http.put("/report", content=report.to_json())
            assert answer.status_code == 204
        assert await operator.call("listreportedblobs") == [
            {"sha256": name, "reason": "malware", "reporters": 1}
        ]
        await operator.call("banblob", name, "malware")
        assert await operator.call("listreportedblobs") == []
        assert (await http.get(f"/{name}")).status_code == 404
        assert await relay.blobs.names() == []
        assert relay.uploads.time(name) is None
        answer = await upload(http, people[0], data)
        assert (answer.status_code, answer.headers["x-reason"]) == (
            403,
            "This blob is not wanted here.",
        )
        part = {"Upload-Offset": "0", "Upload-Length": str(len(data))}
        headers = token(people[0], blob=name) | part
        assert (await http.patch(f"/{name}", content=data, headers=headers)).status_code == 403
        await operator.call("unbanblob", name)
        assert (await upload(http, people[0], data)).status_code == 201


async def test_a_ban_holds_for_an_upload_that_is_on_its_way(start, people):
    data = b"a blob that nobody should have"
    name = hashlib.sha256(data).hexdigest()
    async with managed(start, people) as (relay, http, operator):
        banned = asyncio.Event()

        async def pieces():
            yield data[:5]
            await operator.call("banblob", name)
            banned.set()
            yield data[5:]

        answer = await http.put("/upload", content=pieces(), headers=token(people[0], blob=name))
        assert banned.is_set()
        assert answer.status_code == 403
        assert await relay.blobs.names() == []
        assert relay.uploads.time(name) is None


async def test_an_authorization_is_for_one_call_by_an_admin(start, people):
    async with managed(start, people) as (relay, http, operator):
        stranger = Operator(http, people[0], operator.url)
        assert (await stranger.post("supportedmethods")).status_code == 403
        for wrong in (
            {"u": "wss://other.example"},
            {"method": "GET"},
            {"payload": "00" * 32},
            {"at": NOW - 61},
            {"at": NOW + 61},
        ):
            assert (await operator.post("supportedmethods", **wrong)).status_code == 401
        request = operator.request("banpubkey", people[0].pubkey)
        assert (await http.post("/", **request)).status_code == 200
        again = await http.post("/", **request)
        assert (again.status_code, again.json()["error"]) == (
            401,
            "This authorization was used before.",
        )
        request = operator.request("supportedmethods")
        assert (await http.post("/", **request)).status_code == 200
        assert (await http.post("/", **request)).status_code == 401
        headers = {"Content-Type": "application/nostr+json+rpc"}
        assert (await http.post("/", content=b"{}", headers=headers)).status_code == 401
        assert (await http.post("/", content=b"{}")).status_code == 415
        assert (await operator.post("", body=b"[" * 60_000)).status_code == 400
        assert (await operator.post("", body=bytes(70_000))).status_code == 413
        assert relay.metrics.management_calls == 2
        assert relay.metrics.management_refused == 9


async def test_a_public_relay_takes_only_calls_for_its_own_url(start, people):
    async with managed(start, people, public_urls=("wss://relay.example",)) as (_, http, operator):
        # Its Host header says 127.0.0.1, as the one behind a proxy may.
        assert (await operator.post("supportedmethods")).status_code == 401
        for url in ("wss://relay.example", "https://relay.example/"):
            answer = await Operator(http, people[ADMIN], url).post("supportedmethods")
            assert answer.status_code == 200


async def test_without_public_urls_only_the_loopback_address_counts(start, people):
    async with managed(start, people) as (_, http, operator):
        # Made for another relay that passes it on under the name it was made for.
        other = Operator(http, people[ADMIN], "wss://other.example")
        request = other.request("supportedmethods")
        request["headers"]["Host"] = "other.example"
        assert (await http.post("/", **request)).status_code == 401
        assert (await operator.post("supportedmethods")).status_code == 200


async def test_below_a_secret_path(start, people):
    async with managed(start, people, secret_path="s" * 20) as (relay, _, operator):
        url = relay.address.http_url
        assert url.endswith("s" * 20)
        assert await operator.call("supportedmethods")
        request = Operator(operator.http, people[ADMIN], url.removesuffix("/" + "s" * 20))
        assert (await request.post("supportedmethods")).status_code == 401


async def test_without_admins_there_is_no_such_endpoint(relay, people):
    async with httpx.AsyncClient(base_url=relay.address.http_url) as http:
        operator = Operator(http, people[ADMIN], relay.address.websocket_url)
        assert (await operator.post("supportedmethods")).status_code == 404
        report = people[1].event(1984, "look", [["x", "ab" * 32, "malware"]])
        assert (await http.put("/report", content=report.to_json())).status_code == 404


async def test_what_was_changed_outlives_the_relay_and_its_admins(tmp_path, people):
    now = int(time.time())
    with socket.socket() as one:  # the URL names the port, and it is to be the same twice
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]

    def run(*admins):
        settings = RelaySettings(admins=admins)
        return run_relay("127.0.0.1", port, tmp_path, settings, NativeCrypto())

    async def publish(url, event):
        async with websockets.connect(url) as client:
            await client.recv()
            await client.send(f'["EVENT",{event.to_json().decode()}]')
            return json.loads(await client.recv())

    admin = people[ADMIN]
    async with run(admin.pubkey) as address, httpx.AsyncClient(base_url=address.http_url) as http:
        operator = Operator(http, admin, address.websocket_url)
        request = operator.request("banpubkey", people[0].pubkey, at=now)
        assert (await http.post("/", **request)).json() == {"result": True}
    async with run(admin.pubkey) as address, httpx.AsyncClient(base_url=address.http_url) as http:
        operator = Operator(http, admin, address.websocket_url)
        undone = operator.request("unbanpubkey", people[0].pubkey, at=now)
        assert (await http.post("/", **undone)).status_code == 200
        # The first call was seen by the run before this one.
        assert (await http.post("/", **request)).status_code == 401
        assert (await publish(address.websocket_url, people[0].event(at=now)))[2]
        later = operator.request("banpubkey", people[0].pubkey, at=now + 1)
        assert (await http.post("/", **later)).status_code == 200
    async with run() as address:
        answer = await publish(address.websocket_url, people[0].event(content="b", at=now))
        assert not answer[2]


async def test_of_two_processes_one_takes_a_call(tmp_path, people):
    def process():
        return Management(
            file=StateFile(tmp_path / FILE),
            admins={people[ADMIN].pubkey},
            verifier=NativeCrypto(),
            store=MemoryStore(),
            now=lambda: NOW,
            places=lambda request: (),
            reports=Reports(bytes),
            metrics=Metrics(),
        )

    first, second = process(), process()
    token = people[ADMIN].event(27235)
    call = json.dumps({"method": "banpubkey", "params": [people[0].pubkey]}).encode()
    answers = await asyncio.gather(*(one._answer(token, call) for one in (first, second)))
    assert sorted(answer.status_code for answer in answers) == [200, 401]
    assert people[0].pubkey in second.lists().banned_pubkeys
    assert people[0].pubkey in first.lists().banned_pubkeys

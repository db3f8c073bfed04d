"""NIP-11: the relay information document."""

from __future__ import annotations

import httpx

from volok import __version__
from volok.relay.information import MEDIA_TYPE


async def document(relay) -> dict:
    async with httpx.AsyncClient(base_url=relay.address.http_url) as http:
        answer = await http.get("/", headers={"Accept": MEDIA_TYPE, "Origin": "https://a.example"})
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert answer.headers["access-control-allow-origin"] == "*"
        preflight = await http.options("/", headers={"Origin": "https://a.example"})
        for name in ("origin", "headers", "methods"):
            assert f"access-control-allow-{name}" in preflight.headers
        return answer.json()


async def test_nip_11_says_what_holds_and_names_nobody(start):
    async with start(max_limit=77, created_at_past=1000) as relay:
        found = await document(relay)
        assert found["version"] == __version__
        assert not {"contact", "pubkey", "self", "icon", "banner", "fees"} & found.keys()
        limits = found["limitation"]
        assert limits["max_limit"] == limits["default_limit"] == 77
        assert limits["created_at_lower_limit"] == 1000
        assert limits["auth_required"] is limits["payment_required"] is False
        # What is promised is kept.
        client = await relay.connect()
        most = limits["max_subscriptions"]
        for number in range(most):
            await client.send("REQ", str(number), {"limit": 0})
            assert (await client.receive())[0] == "EOSE"
        assert (await client.ask("REQ", "one more", {}))[0] == "CLOSED"
        assert (await client.ask("REQ", "x" * (limits["max_subid_length"] + 1), {}))[0] == "CLOSED"


async def test_nip_11_limits_of_events_are_kept(start, people):
    async with start(max_content_length=10, max_event_tags=2, max_message_length=2000) as relay:
        limits = (await document(relay))["limitation"]
        client = await relay.connect()
        upper = limits["created_at_upper_limit"]
        now = int(relay.clock())
        for good, bad in (
            ({"content": "x" * 10}, {"content": "x" * 11}),
            ({"tags": [["t", "x"]] * 2}, {"tags": [["t", "x"]] * 3}),
            ({"at": now + upper}, {"at": now + upper + 1}),
            ({}, {"tags": [["t", "x" * limits["max_message_length"]]]}),
        ):
            assert (await client.publish(people[0].event(**good)))[2] is True
            refused = await client.publish(people[0].event(**bad))
            assert refused[2] is False
            assert refused[3].startswith("invalid: ")


async def test_nip_11_shows_what_the_operator_set(start, people):
    shown = {
        "name": "Ford",
        "description": "Two words.",
        "contact": "mailto:relay@relay.example",
        "pubkey": people[0].pubkey,
        "icon": "https://relay.example/icon.png",
        "banner": "https://relay.example/banner.png",
        "terms_of_service": "https://relay.example/terms",
    }
    async with start(**shown, require_auth=True) as relay:
        found = await document(relay)
        assert {name: found[name] for name in shown} == shown
        assert found["limitation"]["auth_required"] is True


async def test_nip_11_lists_the_nips_that_are_served(start):
    async with start() as relay:
        nips = (await document(relay))["supported_nips"]
        assert nips == sorted(nips)
        assert {1, 9, 11, 13, 17, 40, 42, 45, 50, 59, 62, 65, 67, 70} <= set(nips)
    async with start(serve_sealed=False) as relay:
        assert not {17, 59} & set((await document(relay))["supported_nips"])

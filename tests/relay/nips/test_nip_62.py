"""NIP-62: requests to vanish."""

from __future__ import annotations

import pytest

NOW = 1_800_000_000
URL = "wss://relay.example"


@pytest.mark.parametrize("named", [URL, f"{URL}/", "wss://Relay.Example:443", "ALL_RELAYS"])
async def test_nip_62_everything_of_a_key_goes_and_does_not_come_back(start, people, named):
    anna, boris, throwaway, _ = people
    async with start(public_urls=(URL,)) as relay:
        client = await relay.connect()
        mine = [anna.event(kind, at=NOW - 9) for kind in (0, 1, 5, 30_023)]
        wrap = throwaway.event(1059, at=NOW - 9, tags=[["p", anna.pubkey]])
        his = boris.event(1, tags=[["p", anna.pubkey]])
        for event in (*mine, wrap, his):
            assert (await client.publish(event))[2] is True
        await client.authenticate(anna, URL)
        assert await client.fetch({"kinds": [1059]}) == [wrap.id]
        request = anna.event(62, "please", [["relay", "wss://other.example"], ["relay", named]])
        assert await client.publish(request) == ["OK", request.id, True, ""]
        assert set(await client.fetch({"kinds": [0, 1, 5, 30_023]}, {"kinds": [1059]})) == {his.id}
        for event in (*mine, wrap):
            refused = await client.publish(event)
            assert refused[2] is False
            assert refused[3].startswith("blocked: ")
        # No deletion takes the request back; what is written later is welcome.
        await client.publish(anna.event(5, at=NOW + 1, tags=[["e", request.id]]))
        assert (await client.publish(mine[1]))[2] is False
        assert (await client.publish(anna.event(1, "again", at=NOW + 1)))[2] is True


@pytest.mark.parametrize("tags", [[], [["relay", "wss://other.example"]], [["relay", "nonsense"]]])
async def test_nip_62_a_request_for_others_does_nothing(start, people, tags):
    async with start(public_urls=(URL,)) as relay:
        client = await relay.connect()
        note = people[0].event()
        await client.publish(note)
        refused = await client.publish(people[0].event(62, tags=tags))
        assert refused[2] is False
        assert refused[3].startswith("invalid: ")
        assert await client.fetch({}) == [note.id]


async def test_nip_62_it_is_taken_where_writing_takes_authentication(start, people):
    async with start(require_auth=True) as relay:
        client = await relay.connect()
        assert (await client.publish(people[0].event()))[3].startswith("auth-required: ")
        request = people[0].event(62, tags=[["relay", "ALL_RELAYS"]])
        assert (await client.publish(request))[2] is True

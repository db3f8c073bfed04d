"""NIP-67: EOSE says whether that was all."""

from __future__ import annotations

import pytest

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("filters", "given", "hints"),
    [
        ([{}], 5, ["more"]),  # the cap of the relay
        ([{"until": NOW + 3}], 4, ["finish"]),
        ([{"until": NOW + 4}], 5, ["finish"]),  # exactly the cap
        ([{"limit": 100}], 5, ["more"]),
        ([{"limit": 2}], 2, ["more"]),
        ([{"limit": 2, "until": NOW + 1}], 2, ["finish"]),
        ([{"limit": 3, "until": NOW + 1}], 2, ["finish"]),
        ([{"kinds": [9]}], 0, ["finish"]),
        ([{"limit": 0}], 0, None),  # nothing was looked for
        ([{"until": NOW}, {"since": NOW + 6}], 2, ["finish"]),
        ([{"until": NOW + 3}, {"since": NOW + 4}], 5, ["more"]),
        ([{"limit": 1}, {"until": NOW}], 2, None),  # not known
    ],
)
async def test_nip_67_the_hints_are_true(start, people, filters, given, hints):
    async with start(max_limit=5) as relay:
        client = await relay.connect()
        for number in range(7):
            await client.publish(people[0].event(content=str(number), at=NOW + number))
        ids = await client.fetch(*filters)
        assert (len(ids), client.hints) == (given, hints)
        await client.send("REQ", "live", *filters)
        while (await client.receive())[0] == "EVENT":
            pass


async def test_nip_67_paging_ends_at_finish(start, people):
    async with start(max_limit=4) as relay:
        client = await relay.connect()
        events = [people[0].event(content=str(n), at=NOW + n) for n in range(10)]
        for event in events:
            await client.publish(event)
        found, asked = [], {}
        while True:
            await client.send("REQ", "page", asked)
            times = []
            while (message := await client.receive())[0] == "EVENT":
                found.append(message[2]["id"])
                times.append(message[2]["created_at"])
            if client.hints == ["finish"]:
                break
            assert client.hints == ["more"]
            asked = {"until": times[-1] - 1}
        assert found == [event.id for event in reversed(events)]


async def test_nip_67_sealed_events_of_others_are_not_hinted_at(relay, people):
    client = await relay.connect()
    await client.publish(people[0].event(1059, tags=[["p", people[1].pubkey]]))
    note = people[0].event(at=NOW - 1)
    await client.publish(note)
    assert await client.fetch({"limit": 1}) == [note.id]
    assert client.hints == ["finish"]

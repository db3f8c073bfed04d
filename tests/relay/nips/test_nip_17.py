"""NIP-17: private messages reach the addressee and nobody else."""

from __future__ import annotations


async def test_nip_17_gift_wraps_are_served_to_those_they_are_addressed_to(relay, people):
    throwaway, boris, clara, stranger = people
    writer = await relay.connect()
    wrap = throwaway.event(1059, "sealed", [["p", boris.pubkey]])
    to_both = throwaway.event(1059, "sealed", [["p", clara.pubkey], ["p", boris.pubkey]])
    for event in (wrap, to_both):
        assert (await writer.publish(event))[2] is True  # writing takes no authentication
    for person, expected in (
        (boris, {wrap.id, to_both.id}),
        (clara, {to_both.id}),
        (stranger, set()),
    ):
        client = await relay.connect()
        asked = {"kinds": [1059], "#p": [person.pubkey]}
        assert (await client.ask("REQ", "x", asked))[2].startswith("auth-required: ")
        assert (await client.authenticate(person))[2] is True
        assert set(await client.fetch(asked)) == expected
        assert set(await client.fetch({"ids": [wrap.id, to_both.id]})) == expected


async def test_nip_17_the_list_of_inbox_relays_is_replaceable_and_public(relay, people):
    client = await relay.connect()
    old, new = (
        people[0].event(10_050, at=1_800_000_000 + n, tags=[["relay", f"wss://{n}.example"]])
        for n in range(2)
    )
    for event in (old, new):
        await client.publish(event)
    assert await client.fetch({"kinds": [10_050], "authors": [people[0].pubkey]}) == [new.id]

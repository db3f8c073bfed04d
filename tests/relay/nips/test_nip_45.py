"""NIP-45: counts."""

from __future__ import annotations


async def test_nip_45_counts_what_matches_any_filter(relay, people):
    anna, boris = people[:2]
    client = await relay.connect()
    for number in range(3):
        await client.publish(anna.event(1, str(number)))
    await client.publish(boris.event(7))
    for filters, expected in (
        ([{"kinds": [1]}], 3),
        ([{"kinds": [1]}, {"kinds": [1, 7]}], 4),
        ([{"kinds": [1], "limit": 1}], 3),  # the limit of a query is no condition
        ([{"kinds": [9]}], 0),
        ([{"kinds": [1], "authors": [boris.pubkey]}], 0),
    ):
        assert await client.ask("COUNT", "n", *filters) == ["COUNT", "n", {"count": expected}]


async def test_nip_45_a_refusal_is_closed(relay, people):
    client = await relay.connect()
    sealed = {"kinds": [1059], "#p": [people[0].pubkey]}
    assert (await client.ask("COUNT", "n", sealed))[:2] == ["CLOSED", "n"]
    assert (await client.ask("COUNT", "n", sealed))[2].startswith("auth-required: ")
    assert (await client.ask("COUNT", "n", {"colour": 1}))[2].startswith("unsupported: ")
    assert (await client.ask("COUNT", "n"))[2].startswith("invalid: ")


async def test_nip_45_sealed_events_are_counted_for_their_addressee_alone(relay, people):
    sender, boris, clara, _ = people
    client, nosy = await relay.connect(), await relay.connect()
    await client.publish(sender.event(1059, tags=[["p", boris.pubkey]]))
    await client.authenticate(boris)
    await nosy.authenticate(clara)
    sealed = {"kinds": [1059], "#p": [boris.pubkey]}
    assert await client.ask("COUNT", "n", sealed) == ["COUNT", "n", {"count": 1}]
    assert (await nosy.ask("COUNT", "n", sealed))[2].startswith("restricted: ")
    for asked in ({}, {"#p": [boris.pubkey]}):
        assert await nosy.ask("COUNT", "n", asked) == ["COUNT", "n", {"count": 0}]
        assert await client.ask("COUNT", "n", asked) == ["COUNT", "n", {"count": 1}]

"""NIP-50: search over public text."""

from __future__ import annotations

import asyncio


async def indexed(client, person, word: str) -> str:
    """Publish an event with this word and return its id once a search finds it: words are put into
    the index a moment later, in the order of the events."""
    event = person.event(1, word)
    assert (await client.publish(event))[2] is True
    async with asyncio.timeout(20):
        while event.id not in await client.fetch({"search": word}):
            await asyncio.sleep(0.02)
    return event.id


async def test_nip_50_words_find_public_text(relay, people):
    anna, boris = people[:2]
    client = await relay.connect()
    note = anna.event(1, "Волок: лодки несут по берегу, Ёлки растут")
    article = boris.event(30_023, "long text", [["d", "x"], ["title", "Boats over land"]])
    profile = boris.event(0, '{"name":"Boatman"}')
    reaction = anna.event(7, "boats")
    for event in (note, article, profile, reaction):
        assert (await client.publish(event))[2] is True
    await indexed(client, boris, "last")
    for asked, expected in (
        ({"search": "елки ЛОДКИ"}, {note.id}),
        ({"search": "boat"}, {article.id, profile.id}),
        ({"search": "boat", "kinds": [0]}, {profile.id}),
        ({"search": "boat", "authors": [anna.pubkey]}, set()),
        ({"search": "land boats language:en include:spam"}, {article.id}),
        ({"search": "boats nothing"}, set()),
        ({"search": "oats"}, set()),
    ):
        assert set(await client.fetch(asked)) == expected
    both = [{"search": "лодки"}, {"kinds": [0], "search": "boatman"}]
    assert set(await client.fetch(*both)) == {note.id, profile.id}
    assert len(await client.fetch({"search": "boat", "limit": 1})) == 1


async def test_nip_50_better_matches_come_first(relay, people):
    client = await relay.connect()
    weak = people[0].event(1, "boats and carts and sledges and horses and mules", at=1_800_000_001)
    strong = people[0].event(1, "boats boats boats")
    for event in (strong, weak):
        await client.publish(event)
    await indexed(client, people[1], "last")
    assert await client.fetch({"search": "boats"}) == [strong.id, weak.id]
    assert await client.fetch({"search": "boats", "limit": 1}) == [strong.id]


async def test_nip_50_new_events_that_match_are_streamed(relay, people):
    reader, writer = await relay.connect(), await relay.connect()
    assert await reader.ask("REQ", "s", {"search": "boats"}) == ["EOSE", "s"]
    for text in ("carts", "boats"):
        event = people[0].event(1, text)
        await writer.publish(event)
    assert (await reader.receive())[2]["id"] == event.id


async def test_nip_50_sealed_events_are_never_found(relay, people):
    client = await relay.connect()
    await client.authenticate(people[1])
    sealed = people[0].event(1059, "boats", [["p", people[1].pubkey]])
    direct = people[0].event(4, "boats", [["p", people[1].pubkey]])
    deletion = people[0].event(5, "boats", [["e", "a" * 64], ["k", "1059"]])
    for event in (sealed, direct, deletion):
        assert (await client.publish(event))[2] is True
    public = await indexed(client, people[0], "boats")
    assert await client.fetch({"search": "boats"}) == [public]
    assert await client.fetch({"search": "boats", "kinds": [4, 5]}) == []
    asked = {"kinds": [1, 1059], "search": "boats"}
    assert (await client.ask("REQ", "s", asked))[2].startswith("unsupported: ")


async def test_nip_50_a_search_that_is_too_long_is_refused(relay):
    client = await relay.connect()
    for query in ("x" * 1025, " ".join(map(str, range(33))), 5, ["x"]):
        assert (await client.ask("REQ", "s", {"search": query}))[2].startswith("invalid: ")

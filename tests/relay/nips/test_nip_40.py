"""NIP-40: expiration."""

from __future__ import annotations

NOW = 1_800_000_000


async def test_nip_40_what_has_expired_is_neither_taken_nor_sent(relay, people):
    client = await relay.connect()
    soon = people[0].event(tags=[["expiration", str(NOW + 10)]])
    later = people[0].event(tags=[["expiration", str(NOW + 20)]])
    gone = people[0].event(tags=[["expiration", str(NOW)]])
    for event in (soon, later):
        assert (await client.publish(event))[2] is True
    refused = await client.publish(gone)
    assert refused[2] is False
    assert refused[3].startswith("invalid: ")
    assert set(await client.fetch({})) == {soon.id, later.id}
    relay.clock.now = NOW + 10
    assert await client.fetch({}) == [later.id]
    assert (await client.ask("COUNT", "n", {"kinds": [1]}))[2] == {"count": 1}
    assert (await client.publish(soon))[2] is False


async def test_nip_40_a_malformed_time_is_none(relay, people):
    client = await relay.connect()
    for value in ("soon", "", "-1", "1e3"):
        event = people[0].event(content=value, tags=[["expiration", value]])
        assert (await client.publish(event))[2] is True

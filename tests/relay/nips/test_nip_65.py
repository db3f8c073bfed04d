"""NIP-65: lists of relays."""

from __future__ import annotations

NOW = 1_800_000_000


async def test_nip_65_the_newest_list_of_a_key_is_kept_and_found(relay, people):
    anna, boris = people[:2]
    writer, reader = await relay.connect(), await relay.connect()
    lists = [
        anna.event(
            10_002, at=NOW + n, tags=[["r", f"wss://{n}.example"], ["r", "wss://w", "write"]]
        )
        for n in range(3)
    ]
    other = boris.event(10_002, tags=[["r", "wss://1.example", "read"]])
    asked = {"kinds": [10_002], "authors": [anna.pubkey]}
    assert await reader.ask("REQ", "s", asked) == ["EOSE", "s"]
    for event in (lists[1], other):
        assert (await writer.publish(event))[2] is True
    assert (await writer.publish(lists[0]))[2] is False
    assert (await writer.publish(lists[2]))[2] is True
    assert [(await reader.receive())[2]["id"] for _ in range(2)] == [lists[1].id, lists[2].id]
    assert await writer.fetch(asked) == [lists[2].id]
    assert set(await writer.fetch({"#r": ["wss://1.example", "wss://2.example"]})) == {
        lists[2].id,
        other.id,
    }

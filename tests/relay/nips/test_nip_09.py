"""NIP-09: deletion requests."""

from __future__ import annotations

NOW = 1_800_000_000


async def test_nip_09_deletion_by_id_is_for_the_author_alone(relay, people):
    anna, boris = people[:2]
    client = await relay.connect()
    note, other = anna.event(1, "mine"), boris.event(1, "his")
    for event in (note, other):
        await client.publish(event)
    request = anna.event(5, "by accident", [["e", note.id], ["e", other.id], ["k", "1"]])
    assert (await client.publish(request))[2] is True
    assert set(await client.fetch({})) == {other.id, request.id}
    accepted, reason = (await client.publish(note))[2:]
    assert accepted is False
    assert reason.startswith("blocked: ")
    # A deletion that comes first, and one of a deletion.
    later = anna.event(1, "later")
    await client.publish(anna.event(5, tags=[["e", later.id]]))
    assert (await client.publish(later))[2] is False
    await client.publish(anna.event(5, tags=[["e", request.id]]))
    assert request.id in await client.fetch({"kinds": [5]})


async def test_nip_09_deletion_by_address_takes_all_versions_until_then(relay, people):
    anna, boris = people[:2]
    client = await relay.connect()
    before, other = anna.event(30_023, tags=[["d", "x"]]), anna.event(30_023, tags=[["d", "y"]])
    profile, his = anna.event(0), boris.event(30_023, tags=[["d", "x"]])
    for event in (before, other, profile, his):
        assert (await client.publish(event))[2] is True
    places = [["a", f"30023:{anna.pubkey}:x"], ["a", f"0:{anna.pubkey}:"]]
    foreign = ["a", f"30023:{boris.pubkey}:x"]
    assert (await client.publish(anna.event(5, at=NOW + 5, tags=[*places, foreign])))[2] is True
    assert set(await client.fetch({"kinds": [0, 30_023]})) == {other.id, his.id}
    assert (await client.publish(before))[2] is False
    assert (await client.publish(anna.event(30_023, at=NOW + 5, tags=[["d", "x"]])))[2] is False
    newer = anna.event(30_023, at=NOW + 6, tags=[["d", "x"]])
    assert (await client.publish(newer))[2] is True
    assert await client.fetch({"#d": ["x"], "authors": [anna.pubkey]}) == [newer.id]

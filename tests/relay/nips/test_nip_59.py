"""NIP-59: gift wraps."""

from __future__ import annotations

import pytest


async def test_nip_59_the_addressee_deletes_a_gift_wrap(relay, people):
    throwaway, boris, clara, _ = people
    client = await relay.connect()
    await client.authenticate(boris)
    wraps = [throwaway.event(1059, str(n), [["p", boris.pubkey]]) for n in range(2)]
    await client.publish(wraps[0])
    names = [["e", wrap.id] for wrap in wraps]
    await client.publish(clara.event(5, tags=names))
    assert await client.fetch({"kinds": [1059]}) == [wraps[0].id]
    await client.publish(boris.event(5, tags=[*names, ["k", "1059"]]))
    assert await client.fetch({"kinds": [1059]}) == []
    for wrap in wraps:  # also the one that had not come yet
        assert (await client.publish(wrap))[3].startswith("blocked: ")


async def test_nip_59_what_is_deleted_is_no_strangers_business(relay, people):
    throwaway, boris, clara, _ = people
    reader, stranger, writer = [await relay.connect() for _ in range(3)]
    await reader.authenticate(boris)
    await stranger.authenticate(clara)
    for client in (reader, stranger):
        assert await client.ask("REQ", "s", {"kinds": [5]}) == ["EOSE", "s"]
    wrap = throwaway.event(1059, tags=[["p", boris.pubkey]])
    hidden = boris.event(5, tags=[["e", wrap.id], ["k", "1059"]])
    public = boris.event(5, tags=[["e", wrap.id], ["k", "1"]])
    for event in (hidden, public):
        await writer.publish(event)
    assert (await reader.receive())[2]["id"] == hidden.id
    assert (await reader.receive())[2]["id"] == public.id
    assert (await stranger.receive())[2]["id"] == public.id


@pytest.mark.parametrize("kind", [1059, 21_059])
async def test_nip_59_wraps_are_streamed_to_the_addressee_alone(relay, people, kind):
    throwaway, boris, clara, _ = people
    reader, stranger, writer = [await relay.connect() for _ in range(3)]
    await reader.authenticate(boris)
    await stranger.authenticate(clara)
    for client in (reader, stranger):
        assert await client.ask("REQ", "s", {}) == ["EOSE", "s"]
    wrap, note = throwaway.event(kind, tags=[["p", boris.pubkey]]), throwaway.event(1)
    for event in (wrap, note):
        assert (await writer.publish(event))[2] is True
    assert (await reader.receive())[2]["id"] == wrap.id
    assert (await stranger.receive())[2]["id"] == note.id


async def test_nip_59_a_relay_may_serve_them_to_nobody(start, people):
    throwaway, boris = people[:2]
    async with start(serve_sealed=False) as relay:
        client = await relay.connect()
        await client.publish(throwaway.event(1059, tags=[["p", boris.pubkey]]))
        await client.authenticate(boris)
        assert (await client.ask("REQ", "s", {"kinds": [1059]}))[2].startswith("restricted: ")
        assert await client.fetch({}) == []

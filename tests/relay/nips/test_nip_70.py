"""NIP-70: protected events."""

from __future__ import annotations

import json

import pytest


async def test_nip_70_a_protected_event_is_taken_from_its_author_alone(relay, people):
    anna, boris = people[:2]
    client, thief = await relay.connect(), await relay.connect()
    event = anna.event(tags=[["-"]])
    assert (await client.publish(event))[2:] == [
        False,
        "auth-required: this event may only be published by its author",
    ]
    await thief.authenticate(boris)
    assert (await thief.publish(event))[3].startswith("restricted: ")
    assert await client.fetch({}) == []
    await client.authenticate(anna)
    assert await client.publish(event) == ["OK", event.id, True, ""]
    assert await thief.fetch({}) == [event.id]


@pytest.mark.parametrize("kind", [6, 16])
async def test_nip_70_a_repost_does_not_hold_a_protected_event(relay, people, kind):
    anna, boris = people[:2]
    client = await relay.connect()
    protected, free = anna.event(content="x", tags=[["-"]]), anna.event(content="-")
    held = protected.to_json().decode()
    for content in (held, held.replace('"-"', '"\\u002d"')):
        refused = await client.publish(boris.event(kind, content, [["e", protected.id]]))
        assert refused[2] is False
        assert refused[3].startswith("invalid: ")
    for content in (
        "",
        free.to_json().decode(),
        '"-"',
        "[" * 5000 + '"-"',
        json.dumps({"tags": 1}),
    ):
        assert (await client.publish(boris.event(kind, content)))[2] is True

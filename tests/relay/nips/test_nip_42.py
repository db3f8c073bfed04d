"""NIP-42: authentication of clients."""

from __future__ import annotations

import json

import pytest

from volok.model.auth import AUTH, TOLERANCE, auth_event
from volok.native import NativeCrypto

NOW = 1_800_000_000
CRYPTO = NativeCrypto()


async def test_nip_42_several_keys_are_authenticated_on_one_connection(relay, people):
    sender, boris, clara, _ = people
    writer, client = await relay.connect(), await relay.connect()
    wraps = [sender.event(1059, tags=[["p", person.pubkey]]) for person in (boris, clara)]
    for wrap in wraps:
        await writer.publish(wrap)
    wanted = {"kinds": [1059], "#p": [boris.pubkey, clara.pubkey]}
    assert (await client.ask("REQ", "x", wanted))[2].startswith("auth-required: ")
    await client.authenticate(boris)
    assert (await client.ask("REQ", "x", wanted))[2].startswith("restricted: ")
    await client.authenticate(clara)
    assert set(await client.fetch(wanted)) == {wrap.id for wrap in wraps}


async def test_nip_42_a_relay_may_ask_for_it_before_anything_else(start, people):
    anna = people[0]
    async with start(require_auth=True) as relay:
        client = await relay.connect()
        event = anna.event()
        assert (await client.publish(event))[3].startswith("auth-required: ")
        assert (await client.ask("REQ", "x", {}))[2].startswith("auth-required: ")
        assert (await client.ask("COUNT", "x", {"kinds": [1]}))[2].startswith("auth-required: ")
        assert (await client.authenticate(anna))[2:] == [True, ""]
        assert (await client.publish(event))[2] is True
        assert await client.fetch({}) == [event.id]


@pytest.mark.parametrize("wrong", ["kind", "time", "challenge", "relay", "signature", "no tags"])
async def test_nip_42_what_an_answer_must_be(relay, people, wrong):
    anna = people[0]
    client = await relay.connect()
    answer = auth_event(CRYPTO, anna.secret, client.url, client.challenge, NOW)
    fields = json.loads(answer.to_json())
    if wrong == "kind":
        fields = json.loads(anna.event(1, tags=answer.tags).to_json())
    elif wrong == "time":
        fields = json.loads(anna.event(AUTH, tags=answer.tags, at=NOW - TOLERANCE - 1).to_json())
    elif wrong == "challenge":
        other = auth_event(CRYPTO, anna.secret, client.url, "another", NOW)
        fields = json.loads(other.to_json())
    elif wrong == "relay":
        other = auth_event(CRYPTO, anna.secret, "wss://evil.example", client.challenge, NOW)
        fields = json.loads(other.to_json())
    elif wrong == "signature":
        fields["sig"] = "0" * 128
    else:
        fields = json.loads(anna.event(AUTH).to_json())
    name, event_id, accepted, reason = await client.ask("AUTH", fields)
    assert (name, event_id, accepted) == ("OK", fields["id"], False)
    assert reason.startswith("invalid: ")
    asked = {"kinds": [1059], "#p": [anna.pubkey]}
    assert (await client.ask("REQ", "x", asked))[2].startswith("auth-required: ")


async def test_nip_42_an_answer_is_never_published(relay, people):
    client, reader = await relay.connect(), await relay.connect()
    assert await reader.ask("REQ", "s", {}) == ["EOSE", "s"]
    assert (await client.authenticate(people[0]))[2] is True
    published = await client.publish(people[0].event(AUTH, tags=[["challenge", "x"]]))
    assert published[2] is False
    assert await client.fetch({"kinds": [AUTH]}) == []
    note = people[0].event()
    await client.publish(note)
    assert (await reader.receive())[2]["id"] == note.id

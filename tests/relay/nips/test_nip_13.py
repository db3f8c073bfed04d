"""NIP-13: proof of work."""

from __future__ import annotations

from itertools import count

import httpx

from volok.model.event import Event
from volok.model.proof_of_work import difficulty

BITS = 8


def mined(person, bits: int, target: int | None, content: str = "") -> Event:
    """An event with at least `bits` leading zero bits that commits to `target`."""
    for number in count():
        commitment = [] if target is None else [str(target)]
        event = person.event(content=content, tags=[["nonce", str(number), *commitment]])
        if difficulty(event.id) >= bits:
            return event
    raise AssertionError


def lazy(person, target: int) -> Event:
    """An event with less than BITS bits that says it has them."""
    for number in count():
        event = person.event(tags=[["nonce", str(number), str(target)]])
        if difficulty(event.id) < BITS:
            return event
    raise AssertionError


async def test_nip_13_the_work_that_is_asked_for_is_advertised_and_checked(start, people):
    anna = people[0]
    async with start(min_pow_difficulty=BITS) as relay:
        async with httpx.AsyncClient(base_url=relay.address.http_url) as http:
            answer = await http.get("/", headers={"Accept": "application/nostr+json"})
        limits = answer.json()["limitation"]
        assert limits["min_pow_difficulty"] == BITS
        assert limits["restricted_writes"] is True
        client = await relay.connect()
        good = mined(anna, BITS, BITS)
        assert await client.publish(good) == ["OK", good.id, True, ""]
        poor = lazy(anna, BITS)
        done = difficulty(poor.id)
        assert (await client.publish(poor))[2:] == [
            False,
            f"pow: difficulty {done} is less than {BITS}",
        ]
        # Luck is not work: what the event commits to counts.
        for lucky in (mined(anna, BITS, BITS - 1, "lucky"), mined(anna, BITS, None, "silent")):
            accepted, reason = (await client.publish(lucky))[2:]
            assert accepted is False
            assert reason.startswith("pow: ")
        assert await client.fetch({}) == [good.id]

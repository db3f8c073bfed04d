"""Where the bundle of an invite is looked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from volok.app.invite_sources import InviteSources
from volok.chat.kit import FetchInvite
from volok.chat.views import ChatError


def gives(*contents: str, after: float = 0.0) -> FetchInvite:
    async def fetch(relays: Sequence[str], secret: bytes) -> list[str]:
        await asyncio.sleep(after)
        return list(contents)

    return fetch


async def fails(relays: Sequence[str], secret: bytes) -> list[str]:
    raise ChatError("No relay can be reached.")


async def test_what_one_source_has_is_found_whatever_the_others_say() -> None:
    sources = InviteSources(fails)
    sources.add(gives())
    sources.add(gives("bundle"))
    assert await sources([], bytes(32)) == ["bundle"]


async def test_a_source_that_never_answers_holds_up_nobody() -> None:
    sources = InviteSources(gives("bundle"))
    sources.add(gives("late", after=3600))
    async with asyncio.timeout(5):
        assert await sources([], bytes(32)) == ["bundle"]


async def test_both_that_answer_are_heard() -> None:
    sources = InviteSources(gives("forged"))
    sources.add(gives("bundle", "forged", after=0.05))
    assert await sources([], bytes(32)) == ["forged", "bundle"]


async def test_when_nobody_has_it_the_reason_is_told() -> None:
    sources = InviteSources(fails)
    sources.add(gives())
    with pytest.raises(ChatError, match="No relay"):
        await sources([], bytes(32))
    assert await InviteSources(gives())([], bytes(32)) == []

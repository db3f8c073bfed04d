"""How things stand with the relays, and one full round in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from volok.app.web.interface import RelayState as ShownState
from volok.app.web.interface import RelayStatus as ShownRelay
from volok.app.wiring import Parts
from volok.sync.status import RelayState, RelayStatus

MOST_PASSES = 6
"""Passes of one round: what comes in may ask for an answer, and that for another one."""

_SHOWN: dict[RelayState, ShownState] = {
    RelayState.CONNECTED: "connected",
    RelayState.CONNECTING: "connecting",
    RelayState.WAITING: "failed",
    RelayState.REFUSED: "failed",
}


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """What one full round in both directions did."""

    received: int
    """Events that were new here."""
    published: int
    """Events and blobs that a relay took."""
    waiting: int
    """Messages of ours that no receipt has come for."""
    problems: dict[str, str]
    """By relay, why the round did not finish with it; empty when all went well."""


def relay_statuses(own: Sequence[str], known: Sequence[RelayStatus]) -> tuple[ShownRelay, ...]:
    """Our own relays in their order, as the web app shows them."""
    by_url = {status.url: status for status in known}
    return tuple(_shown(url, by_url.get(url)) for url in own)


def _shown(url: str, status: RelayStatus | None) -> ShownRelay:
    if status is None:
        return ShownRelay(url=url, state="connecting")
    return ShownRelay(
        url=url,
        state=_SHOWN[status.state],
        problem=status.problem or None,
        guards_inboxes=status.facts.guards_inboxes,
        blossom=status.facts.blossom,
    )


async def sync_round(parts: Parts, wait: float) -> RoundSummary:
    """Carry everything in both directions; each pass may take `wait` seconds."""
    received = published = 0
    problems: dict[str, str] = {}
    await parts.chat.settle()
    scopes = await parts.set_scopes()
    for _ in range(MOST_PASSES):
        report = await parts.engine.round(wait)
        received += report.received
        published += report.published
        problems = {problem.url: problem.problem for problem in report.problems}
        await parts.chat.settle()
        before, scopes = scopes, await parts.set_scopes()
        waiting = set(await parts.deliveries.relays()) - set(problems)
        if not waiting and scopes == before:
            break
    return RoundSummary(received, published, await parts.chat.waiting(), problems)

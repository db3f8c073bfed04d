"""Which events a relay takes, apart from whether they are genuine. Pure.

1. A request to vanish (NIP-62) is taken from anybody, whoever else may write. It means this relay
   when it names one of its public URLs, or all relays.
2. A protected event (NIP-70) is taken from its author alone, and no repost of it that holds it.
3. Work (NIP-13) counts as far as the event commits to it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Set

from volok.model.auth import AUTH
from volok.model.event import Event
from volok.model.proof_of_work import shortfall
from volok.model.supersession import DELETION, VANISH, is_expired
from volok.model.urls import InvalidUrl, relay_host
from volok.relay.access import SEALED_KINDS, Refusal
from volok.relay.settings import RelaySettings
from volok.sync.messages import Prefix

ALL_RELAYS = "ALL_RELAYS"
"""The value of the `relay` tag of a request to vanish from everywhere (NIP-62)."""

UNDELAYED = SEALED_KINDS | {DELETION, VANISH}
"""Kinds of which no work is asked but the minimum of the settings: nodes do none, and who erases
something may be in a hurry."""

_PROTECTED = ("-",)
_REPOSTS = frozenset({6, 16})
"""Kinds of reposts (NIP-18); their content may hold the event."""


def refusal(
    event: Event, keys: Set[str], settings: RelaySettings, now: int, difficulty: int = 0
) -> Refusal | None:
    """Why this event is not taken from a connection that holds `keys`; None when it may be.

    `now` is in Unix seconds. `difficulty`: the leading zero bits that are asked for at the moment;
    the minimum of the settings holds in any case.
    """
    asked = 0 if event.kind in UNDELAYED else difficulty
    return (
        _refused_writer(event, keys, settings)
        or _refused_size(event, settings)
        or _refused_time(event, settings, now)
        or _refused_meaning(event, settings)
        or _refused_work(event, max(asked, settings.min_pow_difficulty))
    )


def _refused_writer(event: Event, keys: Set[str], settings: RelaySettings) -> Refusal | None:
    if settings.require_auth and not keys and event.kind != VANISH:
        return Refusal(Prefix.AUTH_REQUIRED, "authenticate to write here")
    if _PROTECTED in event.tags and event.pubkey not in keys:
        prefix = Prefix.RESTRICTED if keys else Prefix.AUTH_REQUIRED
        return Refusal(prefix, "this event may only be published by its author")
    return None


def _refused_size(event: Event, settings: RelaySettings) -> Refusal | None:
    if len(event.content) > settings.max_content_length:
        return Refusal(Prefix.INVALID, "too long a content")
    if len(event.tags) > settings.max_event_tags:
        return Refusal(Prefix.INVALID, "too many tags")
    return None


def _refused_time(event: Event, settings: RelaySettings, now: int) -> Refusal | None:
    past = settings.created_at_past
    if event.created_at > now + settings.created_at_future:
        return Refusal(Prefix.INVALID, "from the future")
    if past is not None and event.created_at < now - past:
        return Refusal(Prefix.INVALID, "from long ago")
    if event.tags and is_expired(event, now):
        return Refusal(Prefix.INVALID, "the event has expired")
    return None


def _refused_meaning(event: Event, settings: RelaySettings) -> Refusal | None:
    if event.kind == AUTH:
        return Refusal(Prefix.INVALID, "authentication is not published")
    if event.kind in _REPOSTS and _holds_protected(event.content):
        return Refusal(Prefix.INVALID, "a repost must not hold a protected event")
    if event.kind == VANISH and not means_us(event, settings.public_urls):
        return Refusal(Prefix.INVALID, "this request to vanish does not name this relay")
    return None


def _refused_work(event: Event, required: int) -> Refusal | None:
    problem = shortfall(event, required) if required else None
    return Refusal(Prefix.POW, problem) if problem else None


def means_us(event: Event, public_urls: Collection[str]) -> bool:
    """Whether a request to vanish (NIP-62) is for the relay that people reach at these URLs.

    Only the host counts, as for NIP-42: who leaves a relay leaves it on every path and port.
    """
    named = event.values("relay")
    return ALL_RELAYS in named or not _hosts(named).isdisjoint(_hosts(public_urls))


def _hosts(urls: Collection[str]) -> set[str]:
    hosts = set()
    for url in urls:
        try:
            hosts.add(relay_host(url))
        except InvalidUrl:
            continue
    return hosts


def _holds_protected(content: str) -> bool:
    if '"-"' not in content and "\\u002" not in content:
        return False
    try:
        held = json.loads(content)
    except (ValueError, RecursionError):
        return False
    tags = held.get("tags") if isinstance(held, dict) else None
    return isinstance(tags, list) and [_PROTECTED[0]] in tags

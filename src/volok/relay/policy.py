"""Which events a relay takes, apart from whether they are genuine. Pure."""

from __future__ import annotations

from collections.abc import Set

from volok.model.auth import AUTH
from volok.model.event import Event
from volok.model.supersession import is_expired
from volok.relay.access import Refusal
from volok.relay.settings import RelaySettings
from volok.sync.messages import Prefix


def refusal(event: Event, keys: Set[str], settings: RelaySettings, now: int) -> Refusal | None:
    """Why this event is not taken from a connection that holds `keys`; None when it may be.

    `now` is in Unix seconds.
    """
    past = settings.created_at_past
    protected = ("-",) in event.tags  # NIP-70
    rules = (
        (settings.require_auth and not keys, Prefix.AUTH_REQUIRED, "authenticate to write here"),
        (protected and event.pubkey not in keys, Prefix.AUTH_REQUIRED, "this is its author's only"),
        (event.kind == AUTH, Prefix.INVALID, "authentication is not published"),
        (len(event.content) > settings.max_content_length, Prefix.INVALID, "too long a content"),
        (len(event.tags) > settings.max_event_tags, Prefix.INVALID, "too many tags"),
        (event.created_at > now + settings.created_at_future, Prefix.INVALID, "from the future"),
        (past is not None and event.created_at < now - past, Prefix.INVALID, "from long ago"),
        (is_expired(event, now), Prefix.INVALID, "the event has expired"),
    )
    return next((Refusal(prefix, reason) for broken, prefix, reason in rules if broken), None)

"""The settings of a relay."""

from __future__ import annotations

import re
from dataclasses import dataclass

from volok.model.urls import InvalidUrl, normalise_relay_url
from volok.relay.errors import RelayError

DAY = 86_400

_SECRET = re.compile("[A-Za-z0-9_-]{16,64}")


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """What the operator of a relay decides. The defaults suit a small public relay."""

    name: str = "Volok relay"
    """Shown in the information document (NIP-11)."""
    description: str = "A relay for messages that keep moving."
    """Shown in the information document (NIP-11)."""
    contact: str = ""
    """How to reach the operator, a URI (NIP-11); empty for none."""
    public_urls: tuple[str, ...] = ()
    """The ws:// and wss:// URLs under which people reach this relay. An AUTH must name one of them
    (NIP-42). Empty: the name by which the client itself reached us, which does not keep a
    malicious relay from passing our challenge on to its own clients; so set it in public."""
    hosts: tuple[str, ...] = ()
    """Names, without port, that a Host header may hold; empty for any. The pocket relay lists its
    own here, so that a web page cannot reach it through a name that it points at loopback."""
    front_page: str = "<!doctype html><meta charset=utf-8><title>Welcome</title><p>It works.</p>"
    """What a browser sees at `/`, as HTML. By default it says nothing of relays."""
    secret_path: str = ""
    """The first part of the path under which alone there is a relay: 16 to 64 letters, digits, -
    and _. Everything else is an ordinary website then. Empty: the relay is at `/`."""
    require_auth: bool = False
    """Whether reading and writing anything at all takes an AUTH (NIP-42)."""
    serve_sealed: bool = True
    """Whether sealed events (kind 1059 and the like) are served to their addressees. The pocket
    relay of a node serves them to nobody."""
    max_message_length: int = 128 * 1024
    """The longest frame from a client, in bytes of UTF-8."""
    max_content_length: int = 64 * 1024
    """The longest `content` of an event, in characters."""
    max_event_tags: int = 2_500
    """The most tags of an event."""
    max_subscriptions: int = 64
    """The most open subscriptions of one connection."""
    max_filters: int = 32
    """The most filters of one REQ."""
    max_filter_values: int = 2_000
    """The most values (ids, authors, kinds, tag values) of one filter."""
    max_limit: int = 500
    """The most stored events that one REQ gets; also what it gets when it names no limit."""
    max_keys: int = 256
    """The most keys that one connection may authenticate (NIP-42)."""
    max_connections: int = 4_096
    """The most websockets at once."""
    max_pending: int = 256
    """The most events of one connection that wait for verification and commit; reading from it
    pauses beyond that."""
    max_queue_messages: int = 2_000
    """The most messages that wait for one reader; a slower reader is disconnected."""
    max_queue_characters: int = 4 * 1024 * 1024
    """The most characters that wait for one reader; a slower reader is disconnected."""
    created_at_future: int = 15 * 60
    """How far in the future an event's `created_at` may lie, in seconds."""
    created_at_past: int | None = None
    """How far in the past it may lie, in seconds; None for any."""
    ping_seconds: float = 30.0
    """How often a silent websocket is pinged; it is closed when no answer comes for as long."""
    sweep_seconds: float = 60.0
    """How often expired events and old blobs are erased."""
    accept_blobs: bool = True
    """Whether blobs are taken and served (Blossom, BUD-01 and BUD-02)."""
    max_blob_bytes: int = 128 * 1024 * 1024
    """The largest blob, in bytes."""
    max_uploads: int = 16
    """The most uploads at once."""
    max_unfinished_bytes: int = 512 * 1024 * 1024
    """The most bytes of all uploads in parts that are not whole yet; more are asked to wait."""
    unfinished_seconds: int = 3600
    """How long such an upload may stand still before it is erased."""
    blob_days: int = 30
    """Days for which an uploaded blob is kept; 0 for ever."""

    def __post_init__(self) -> None:
        for field in ("max_message_length", "max_subscriptions", "max_filters", "max_limit"):
            if getattr(self, field) < 1:
                raise RelayError(f"The relay setting {field} must be at least 1.")
        if self.secret_path and not _SECRET.fullmatch(self.secret_path):
            raise RelayError(
                "The secret path has to be 16 to 64 characters of A-Z, a-z, 0-9, - and _."
            )
        try:
            for url in self.public_urls:
                normalise_relay_url(url)
        except InvalidUrl as error:
            raise RelayError(f"A public address of the relay is wrong. {error}") from error
        if self.blob_days < 0:
            raise RelayError("The relay setting blob_days must not be negative.")

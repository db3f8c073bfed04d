"""The settings of a relay."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from volok.model.event import is_hex32
from volok.model.nip19 import InvalidEntity, Npub, decode
from volok.model.proof_of_work import MAX_DIFFICULTY
from volok.model.urls import InvalidUrl, normalise_relay_url
from volok.relay.errors import RelayError

DAY = 86_400

_SECRET = re.compile("[A-Za-z0-9_-]{16,64}")
_RATES = (
    "events_per_second",
    "bytes_per_second",
    "requests_per_second",
    "address_connections",
    "address_events_per_second",
    "bearable_seconds",
    "plugin_seconds",
)


def admin_keys(admins: Iterable[str]) -> frozenset[str]:
    """The public keys in hexadecimal that `RelaySettings.admins` names. Raises RelayError."""
    keys = set()
    for admin in admins:
        try:
            entity = Npub(admin) if is_hex32(admin) else decode(admin)
        except InvalidEntity:
            entity = None
        if not isinstance(entity, Npub):
            # What stands there is not repeated: it may be a secret key.
            raise RelayError("The relay setting admins takes public keys, as npub1… each.")
        keys.add(entity.pubkey)
    return frozenset(keys)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """What the operator of a relay decides. The defaults suit a small public relay."""

    name: str = "Volok relay"
    """Shown in the information document (NIP-11)."""
    description: str = "A relay for messages that keep moving."
    """Shown in the information document (NIP-11)."""
    contact: str = ""
    """How to reach the operator, a URI (NIP-11); empty for none."""
    icon: str = ""
    """URL of a square picture shown for the relay (NIP-11); empty for none."""
    banner: str = ""
    """URL of a wide picture shown for the relay (NIP-11); empty for none."""
    pubkey: str = ""
    """Public key for messages to the operator, 64 hexadecimal characters (NIP-11); empty for none.
    """
    terms_of_service: str = ""
    """URL of the rules of this relay (NIP-11); empty for none."""
    admins: tuple[str, ...] = ()
    """Public keys, npub or hexadecimal, that may call the management API (NIP-86); empty: there is
    none. It takes `public_urls`, or a client on this computer."""
    public_urls: tuple[str, ...] = ()
    """The ws:// and wss:// URLs under which people reach this relay. An AUTH must name one of them
    (NIP-42). Empty: the name by which the client itself reached us, which does not keep a
    malicious relay from passing our challenge on to its own clients; so set it in public. A request
    to vanish (NIP-62) must name one of them, or all relays."""
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
    max_reconciliations: int = 8
    """The most reconciliations (NIP-77) of one connection at once."""
    max_reconciled: int = 1_000_000
    """The most events of one reconciliation; it takes 40 bytes of memory for each. 0 switches
    reconciliation off."""
    max_reconciled_total: int = 4_000_000
    """The most events of all reconciliations at once."""
    max_reconciliation_frame: int = 128 * 1024
    """The longest frame of a reconciliation that we send, in bytes; twice that in characters."""
    reconciliation_seconds: float = 60.0
    """How long a client may take for its next frame; then a reconciliation is ended."""
    reconciled_seconds: float = 30.0
    """How long what was read for a large reconciliation is kept for others that ask the same."""
    max_keys: int = 256
    """The most keys that one connection may authenticate (NIP-42)."""
    max_connections: int = 4_096
    """The most websockets at once."""
    max_pending: int = 256
    """The most events of one connection that wait for verification and commit; reading from it
    pauses beyond that."""
    max_queue_messages: int = 2_000
    """The most messages that wait for one reader; a slower reader is disconnected."""
    max_queue_bytes: int = 4 * 1024 * 1024
    """The most bytes that wait for one reader; a slower reader is disconnected."""
    created_at_future: int = 15 * 60
    """How far in the future an event's `created_at` may lie, in seconds."""
    created_at_past: int | None = None
    """How far in the past it may lie, in seconds; None for any."""
    min_pow_difficulty: int = 0
    """The proof of work that every event must carry, in leading zero bits of its id (NIP-13); under
    load more may be asked for."""
    max_pow_difficulty: int = 0
    """How far the proof of work that public events must carry rises while they wait for longer than
    `bearable_seconds`; 0: it does not rise. Sealed events, deletions and requests to vanish are
    spared: nodes do no such work."""
    bearable_seconds: float = 2.0
    """How long events may wait for their turn before the relay counts as loaded."""
    events_per_second: float = 0.0
    """The events that one connection may send a second in the long run; 0 for any number."""
    events_burst: int = 1_000
    """How many it may send at once after a pause."""
    bytes_per_second: float = 0.0
    """The bytes that one connection may send a second in the long run; 0 for any number."""
    bytes_burst: int = 8 * 1024 * 1024
    """How many it may send at once after a pause."""
    requests_per_second: float = 0.0
    """The requests (all but events) that one connection may send a second; 0 for any number."""
    requests_burst: int = 1_000
    """How many it may send at once after a pause."""
    address_connections: int = 0
    """The most websockets of one IP address, of one /64 with IPv6; 0 for any number. In mobile
    networks thousands share an address: there it shuts out the wrong people."""
    address_events_per_second: float = 0.0
    """The events that one IP address may send a second over all its connections; 0 for any number.
    """
    forwarded_addresses: bool = False
    """Whether the last address in X-Forwarded-For is the client's, for these two limits alone: for
    a relay behind a web server on the same computer."""
    plugin_seconds: float = 5.0
    """How long a write policy plug-in may take for an answer."""
    ping_seconds: float = 30.0
    """How often a silent websocket is pinged; it is closed when no answer comes for as long."""
    sweep_seconds: float = 30.0
    """How often expired events and old blobs are erased: at most a minute after their time, also
    where a sweep takes a while."""
    accept_blobs: bool = True
    """Whether blobs are taken and served (Blossom, BUD-01 and BUD-02)."""
    max_blob_bytes: int = 128 * 1024 * 1024
    """The largest blob, in bytes."""
    max_uploads: int = 16
    """The most uploads at once."""
    min_free_bytes: int = 64 * 1024 * 1024
    """Uploads are refused that would leave fewer bytes of the disk free, so that events always find
    room."""
    max_unfinished_bytes: int = 512 * 1024 * 1024
    """The most bytes of all uploads in parts that are not whole yet; more are asked to wait."""
    unfinished_seconds: int = 3600
    """How long such an upload may stand still before it is erased."""
    mirror_hosts: tuple[str, ...] = ()
    """Names of servers from which blobs are fetched when a client asks for it (BUD-04); * for any
    public one. Empty: none is. Each sees the address of this relay, so a relay whose place is to
    stay unknown leaves it empty."""
    mirror_private: bool = False
    """Whether `mirror_hosts` may be at private and loopback addresses and without TLS."""
    mirror_seconds: float = 120.0
    """How long fetching one blob from another server may take."""
    blob_days: int = 30
    """Days for which an uploaded blob is kept; 0 for ever."""

    def __post_init__(self) -> None:
        for field in ("max_message_length", "max_subscriptions", "max_filters", "max_limit"):
            if getattr(self, field) < 1:
                raise RelayError(f"The relay setting {field} must be at least 1.")
        if not 0 <= self.min_pow_difficulty <= MAX_DIFFICULTY:
            raise RelayError("The relay setting min_pow_difficulty has to be from 0 to 256.")
        if not 0 <= self.max_pow_difficulty <= MAX_DIFFICULTY:
            raise RelayError("The relay setting max_pow_difficulty has to be from 0 to 256.")
        for field in _RATES:
            if getattr(self, field) < 0:
                raise RelayError(f"The relay setting {field} must not be negative.")
        if self.pubkey and not is_hex32(self.pubkey):
            raise RelayError("The relay setting pubkey has to be 64 characters of 0-9 and a-f.")
        if self.secret_path and not _SECRET.fullmatch(self.secret_path):
            raise RelayError(
                "The secret path has to be 16 to 64 characters of A-Z, a-z, 0-9, - and _."
            )
        try:
            for url in self.public_urls:
                normalise_relay_url(url)
        except InvalidUrl as error:
            raise RelayError(f"A public address of the relay is wrong. {error}") from error
        admin_keys(self.admins)
        if self.blob_days < 0:
            raise RelayError("The relay setting blob_days must not be negative.")

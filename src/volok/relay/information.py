"""The relay information document (NIP-11). It names nobody unless the settings do."""

from __future__ import annotations

from volok.relay.settings import RelaySettings
from volok.sync.messages import MAX_SUBSCRIPTION

SUPPORTED_NIPS = (1, 9, 11, 13, 40, 42, 45, 50, 62, 65, 67, 70, 77)
"""What every relay of ours implements; tests/relay/nips has a test for each."""

SEALED_NIPS = (17, 59)
"""What a relay that serves sealed events implements as well."""

MEDIA_TYPE = "application/nostr+json"


def supported_nips(settings: RelaySettings) -> list[int]:
    """The NIPs of a relay with these settings."""
    sealed = SEALED_NIPS if settings.serve_sealed else ()
    missing = () if settings.max_reconciled else (77,)
    managed = (86, 98) if settings.admins else ()
    return sorted({*SUPPORTED_NIPS, *sealed, *managed} - {*missing})


def information(
    settings: RelaySettings, version: str, difficulty: int = 0, restricted: bool = False
) -> dict[str, object]:
    """The document as an object for a JSON encoder.

    `difficulty`: the leading zero bits that are asked of events at the moment (NIP-13).
    `restricted`: whether strangers or some kinds are kept from writing (`volok.relay.lists`).
    """
    required = max(difficulty, settings.min_pow_difficulty)
    limitation: dict[str, object] = {
        "max_message_length": settings.max_message_length,
        "max_content_length": settings.max_content_length,
        "max_event_tags": settings.max_event_tags,
        "max_subscriptions": settings.max_subscriptions,
        "max_subid_length": MAX_SUBSCRIPTION,
        "max_limit": settings.max_limit,
        "default_limit": settings.max_limit,
        "max_filters": settings.max_filters,
        "min_pow_difficulty": required,
        "created_at_upper_limit": settings.created_at_future,
        "auth_required": settings.require_auth,
        "payment_required": False,
        "restricted_writes": required > 0 or restricted,
    }
    if settings.created_at_past is not None:
        limitation["created_at_lower_limit"] = settings.created_at_past
    document: dict[str, object] = {
        "name": settings.name,
        "description": settings.description,
        "supported_nips": supported_nips(settings),
        "version": version,
        "limitation": limitation,
    }
    for name in ("contact", "pubkey", "icon", "banner", "terms_of_service"):
        if value := getattr(settings, name):
            document[name] = value
    return document

"""The relay information document (NIP-11)."""

from __future__ import annotations

from volok.relay.settings import RelaySettings
from volok.sync.messages import MAX_SUBSCRIPTION

SUPPORTED_NIPS = (1, 9, 11, 40, 42, 45, 59, 70)
"""What this relay implements."""

MEDIA_TYPE = "application/nostr+json"


def information(settings: RelaySettings, version: str) -> dict[str, object]:
    """The document as an object for a JSON encoder."""
    limitation: dict[str, object] = {
        "max_message_length": settings.max_message_length,
        "max_content_length": settings.max_content_length,
        "max_event_tags": settings.max_event_tags,
        "max_subscriptions": settings.max_subscriptions,
        "max_subid_length": MAX_SUBSCRIPTION,
        "max_limit": settings.max_limit,
        "default_limit": settings.max_limit,
        "max_filters": settings.max_filters,
        "created_at_upper_limit": settings.created_at_future,
        "auth_required": settings.require_auth,
        "payment_required": False,
        "restricted_writes": False,
    }
    if settings.created_at_past is not None:
        limitation["created_at_lower_limit"] = settings.created_at_past
    document: dict[str, object] = {
        "name": settings.name,
        "description": settings.description,
        "supported_nips": list(SUPPORTED_NIPS),
        "software": "volok",
        "version": version,
        "limitation": limitation,
    }
    if settings.contact:
        document["contact"] = settings.contact
    return document

"""The relay through a Nostr library that is not ours (nostr-sdk)."""

from __future__ import annotations


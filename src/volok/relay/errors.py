"""What can keep a relay from running."""

from __future__ import annotations


class RelayError(Exception):
    """The relay cannot run; the text says why and what to do."""


class PortInUse(RelayError):
    """Another program uses this port already. Stop it, or choose another port."""

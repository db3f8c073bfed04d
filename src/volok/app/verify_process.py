"""The process that checks signatures for a relay: `python -m volok.app.verify_process DESCRIPTOR`."""

from __future__ import annotations

import sys

from volok.native import NativeCrypto
from volok.relay.verifying import verify_for_parent
from volok.store.children import parent_of

MODULE = "volok.app.verify_process"


def main() -> None:
    """Check what the parent sends."""
    verify_for_parent(parent_of(sys.argv), NativeCrypto())


if __name__ == "__main__":
    main()

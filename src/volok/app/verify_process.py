"""The process that checks signatures for a relay: `python -m volok.app.verify_process NUMBER`."""

from __future__ import annotations

import contextlib
import os
import sys

from volok.native import NativeCrypto
from volok.relay.verifying import verify_for_parent
from volok.store.children import parent_of

MODULE = "volok.app.verify_process"
_NICENESS = 5
"""Where processors are scarce, what was verified goes on first: then who publishes one event waits
for no crowd, and a crowd waits here, where its members take turns."""


def main() -> None:
    """Check what the parent sends."""
    with contextlib.suppress(OSError):  # a supervisor may forbid it
        os.nice(_NICENESS)
    verify_for_parent(parent_of(sys.argv), NativeCrypto())


if __name__ == "__main__":
    main()

"""The local network, tried between real namespaces: see `lan_cases.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab import enter

CASES = Path(__file__).with_name("lan_cases.py")
REASON = enter.obstacle()


@pytest.mark.skipif(REASON is not None, reason=str(REASON))
def test_what_is_tried_inside() -> None:
    options = ["-q", "-s", "--durations=9", "-p", "no:cacheprovider"]
    done = subprocess.run(
        enter.command([sys.executable, "-m", "pytest", *options, str(CASES)]),
        cwd=enter.ROOT,
        env=enter.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr

"""New relays come from friends, tried in a network namespace where relays have addresses that look
public. It takes root and a kernel that allows namespaces."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab import enter

CASES = Path(__file__).parent / "hint_cases.py"
REASON = enter.obstacle()


@pytest.mark.skipif(REASON is not None, reason=str(REASON))
def test_what_is_tried_inside() -> None:
    pytest_inside = (sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider")
    done = subprocess.run(
        enter.command([*pytest_inside, str(CASES)]),
        cwd=enter.ROOT,
        env=enter.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr

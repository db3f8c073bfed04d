"""Volok under every profile, in short: all arrives, once, whatever is blocked.

The real programs in real namespaces. Most of a run is waiting, so several are made at once; the
full size is `make lab`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest
from lab.outcome import Outcome
from lab.report import load
from lab.services import catalogue

from lab import enter, scenario

AT_ONCE = 3
"""What two cores bear."""
PATIENCE = 900
"""Seconds for all of them, on a machine that is busy with other things."""
PROFILES = (scenario.NOTHING, *scenario.everything())


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, Outcome]:
    """What came of each profile, by its name."""
    if obstacle := enter.obstacle():
        pytest.skip(obstacle)
    if missing := catalogue.missing():
        pytest.skip(f"The lab needs these Debian packages: {', '.join(missing)}.")
    size = ("--short", "--deadline", "60", "--seed", "7", "--at-once", str(AT_ONCE))
    done = subprocess.run(
        [sys.executable, "-m", "lab", "run", *PROFILES, *size, "--json"],
        cwd=enter.ROOT,
        env=enter.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return {outcome.profile: outcome for outcome in load(done.stdout)}


@pytest.mark.timeout(PATIENCE + 20)
@pytest.mark.parametrize("profile", PROFILES)
def test_all_arrives_once(outcomes: Mapping[str, Outcome], profile: str) -> None:
    outcome = outcomes[profile]
    assert outcome.problem is None
    measured = outcome.measured
    size = scenario.SHORT
    assert measured.sent == 2 * size.texts + size.group
    assert measured.delivered == measured.sent
    assert (measured.twice, measured.strange, measured.misplaced) == (0, 0, 0)
    assert outcome.picture == "delivered"
    assert (measured.first_after is None) == (profile == scenario.NOTHING)

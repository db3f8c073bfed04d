"""A disk that is really full: a file system of 2 MB, in a mount namespace of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


def test_nothing_is_lost_when_the_disk_is_full(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=2m volok {tmp_path}"
    if subprocess.run([*UNSHARE, "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("This machine lets us mount nothing.")
    script = Path(__file__).with_name("full_disk_process.py")
    command = f'{mount} && exec "{sys.executable}" "{script}" "{tmp_path}"'
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", command], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[1:] == ["nothing lost"], done.stderr

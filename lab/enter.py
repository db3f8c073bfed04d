"""Into the lab and out of it without a trace.

1. The lab runs in network, mount and process namespaces of its own. They live as long as one
   process does, and that process dies with the one that started it, however that ends.
2. `unshare --kill-child` ties only its child to itself; `setpriv --pdeathsig` ties unshare to us.
   That signal comes when the *thread* that started it ends, so `enter` belongs in the main thread.
3. The first process inside (`python -m lab.enter COMMAND`) only makes the mounts, starts the
   command, passes SIGTERM on and buries orphans: an ordinary program is not fit to be PID 1.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[1]
MARK = "VOLOK_LAB_INSIDE"
"""Set in the environment of everything inside."""
TOOLS = {"setpriv": "util-linux", "unshare": "util-linux", "mount": "mount", "ip": "iproute2"}
"""The commands that the lab itself needs, and the Debian package that has each."""
ENTRY = (
    *("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork"),
    *("--kill-child", "--mount-proc", "--propagation", "private"),
)
PATIENCE = 10.0
"""Seconds that the lab has for tidying up after an interruption before it is killed."""


class LabUnavailable(RuntimeError):
    """The lab cannot run here; the message says why."""


def inside() -> bool:
    """Whether this process runs inside the lab."""
    return MARK in os.environ


def obstacle() -> str | None:
    """Why the lab cannot be entered on this machine, or None."""
    if os.geteuid() != 0:
        return "The lab makes network namespaces, which takes root."
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing:
        return f"The lab needs these Debian packages: {', '.join(missing)}."
    if not Path("/dev/net/tun").exists():
        return "The lab needs /dev/net/tun, which this machine does not have."
    tried = subprocess.run([*ENTRY, "true"], capture_output=True, check=False)
    if tried.returncode:
        return "The lab makes network namespaces, which this machine does not allow."
    return None


def command(argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` inside the lab."""
    return [*ENTRY, sys.executable, "-m", "lab.enter", *argv]


def environment() -> dict[str, str]:
    """Our environment, in which the lab's package can be imported from any folder."""
    path = [str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def enter(argv: Sequence[str]) -> int:
    """Run a command inside the lab, with our standard streams, and give its exit code.

    Call it from the main thread. Nothing is left when it returns, nor when this process is killed.
    Raises LabUnavailable.
    """
    if (reason := obstacle()) is not None:
        raise LabUnavailable(reason)
    with subprocess.Popen(command(argv), env=environment()) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:  # the terminal has told those inside as well
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(PATIENCE)
            return 130
        finally:
            child.kill()


def _mounts() -> None:
    """A private /run and a private, writable copy of /etc."""
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    for folder in ("/run/etc/up", "/run/etc/work", "/run/netns", "/run/lab"):
        Path(folder).mkdir(parents=True)
    layers = "lowerdir=/etc,upperdir=/run/etc/up,workdir=/run/etc/work"
    _run("mount", "-t", "overlay", "overlay", "-o", layers, "/etc")
    _run("ip", "link", "set", "lo", "up")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def main(argv: Sequence[str]) -> int:
    """Be the first process inside: see the top of this module."""
    if os.getpid() != 1:
        sys.exit("This is the first process of the lab, started by lab.enter.enter().")
    _mounts()
    child = subprocess.Popen(argv, env={**os.environ, MARK: "1"})

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)

    # A handler, not SIG_IGN, which the child would inherit. SIGINT reaches the child by itself.
    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

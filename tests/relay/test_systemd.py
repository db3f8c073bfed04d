"""Sockets that systemd passes on, and what it hears."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from volok.relay.systemd import Notifier, inherited_listener

CHILD = """
import json, os, socket, sys
from volok.relay.errors import RelayError
from volok.relay.systemd import inherited_listener
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=sys.argv[2] or str(os.getpid()), LISTEN_FDS=sys.argv[3])
try:
    found = inherited_listener(os.environ, os.getpid())
    print(json.dumps([found and found.getsockname()[1], "LISTEN_FDS" in os.environ]))
except RelayError as error:
    print(json.dumps(str(error)))
"""


def in_child(passed: socket.socket, pid: str = "", count: str = "1"):
    """What a process makes of a socket that is passed to it as systemd does."""
    number = passed.fileno()
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(number), pid, count],
        pass_fds=[number],
        check=True,
        stdout=subprocess.PIPE,
    )
    return json.loads(run.stdout)


def test_a_listening_socket_is_taken_and_anything_else_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert in_child(listener) == [listener.getsockname()[1], False]
        assert in_child(listener, pid="1") == [None, False]
        assert "several" in in_child(listener, count="2")
    with socket.socket() as silent:
        assert "ListenStream" in in_child(silent)


def test_without_systemd_there_is_none() -> None:
    environment = {"PATH": "/bin"}
    assert inherited_listener(environment, os.getpid()) is None
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_the_state(abstract: bool, tmp_path: Path) -> None:
    place = f"@volok-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing:
        hearing.bind(place.replace("@", "\0", 1))
        environment = {"NOTIFY_SOCKET": place}
        notifier = Notifier(environment)
        assert environment == {}
        notifier.ready()
        notifier.stopping()
        assert [hearing.recv(100) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]
    notifier.ready()  # nobody listens any more


def test_nobody_to_tell() -> None:
    Notifier({}).ready()
    environment = {"NOTIFY_SOCKET": ""}
    Notifier(environment).stopping()
    assert not environment

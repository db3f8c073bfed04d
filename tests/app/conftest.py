"""Real parts for the tests of the app: a relay in its own process, homes, and the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from volok.app.cli import main

Json = dict[str, Any]


@dataclass
class Result:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Json]:
        """Standard output as JSON lines; whatever is none fails the test."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def one(self) -> Json:
        """The only line."""
        (line,) = self.lines
        return line


@dataclass
class Process:
    """A long-running command of its own, whose first line is JSON."""

    arguments: tuple[str, ...]
    first: Json = field(default_factory=dict)
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        """Start it and read the first line."""
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "volok", *self.arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(),
        )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            raise AssertionError(self.popen.communicate()[1].decode())
        self.first = json.loads(line)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        assert self.popen is not None
        self.popen.send_signal(number)
        self.popen.communicate(timeout=20)
        return self.popen.returncode


def clean_environment() -> dict[str, str]:
    """Ours, without what would choose a home or a passphrase."""
    return {name: value for name, value in os.environ.items() if not name.startswith("VOLOK")}


class Home:
    """One person's home and the commands run in it, inside this process."""

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.root = root
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.before: tuple[str, ...] = ()
        """Global options of every command."""

    def __call__(self, *arguments: str | Path) -> Result:
        """Run `volok --home ROOT ARGUMENTS`."""
        whole = ["volok", "--home", str(self.root), *self.before, *map(str, arguments)]
        self._monkeypatch.setattr(sys, "argv", whole)
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        code = exit_.value.code
        out, err = self._capsys.readouterr()
        return Result(code if isinstance(code, int) else int(code is not None), out, err)

    def ok(self, *arguments: str | Path) -> Result:
        """The same, and it must succeed."""
        result = self(*arguments)
        assert result.code == 0, result.err
        return result

    def up(self, *more: str) -> Process:
        """Start `volok up` for this home."""
        arguments = ("--home", str(self.root), *self.before, "up", "--no-browser", "--json")
        return Process((*arguments, *(more or ("--port", "0")))).start()


@pytest.fixture
def new_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Home]:
    """Makes homes that are not set up yet."""
    for name in ("VOLOK_HOME", "VOLOK_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    return lambda name: Home(tmp_path / name, monkeypatch, capsys)


@pytest.fixture(scope="session")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a relay that many tests share."""
    data = tmp_path_factory.mktemp("relay")
    process = Process(("relay", "--port", "0", "--data", str(data), "--json")).start()
    yield process.first["url"]
    process.stop()


@pytest.fixture
def alice(new_home: Callable[[str], Home], relay: str) -> Home:
    """Somebody with a home and a relay."""
    home = new_home("alice")
    home.ok("init", "--name", "Alice", "--relay", relay, "--no-passphrase")
    return home


@pytest.fixture
def bob(new_home: Callable[[str], Home]) -> Home:
    """Somebody with a home and no relay of his own."""
    home = new_home("bob")
    home.ok("init", "--name", "Bob", "--no-passphrase")
    return home


@pytest.fixture
def friends(alice: Home, bob: Home) -> tuple[Home, Home]:
    """Alice and Bob, who have each other as active contacts."""
    link = alice.ok("invite").out.strip()
    bob.ok("accept", link)
    alice.ok("sync")
    bob.ok("sync")
    return alice, bob

"""Real servers for the tests of a cluster, private to them: PostgreSQL and NATS."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_BIN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_USER = "postgres"
SETTINGS = {
    "listen_addresses": "''",
    "max_connections": "60",
    "shared_buffers": "'64MB'",
    "autovacuum_naptime": "'5s'",
    "log_min_messages": "panic",
    "log_min_error_statement": "panic",
    "restart_after_crash": "on",
}


@dataclass
class Postgres:
    """One PostgreSQL on a socket in a temporary folder."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    _schemas: int = field(default=0, init=False)

    @property
    def data(self) -> Path:
        """Where its files are."""
        return self.folder / "data"

    def start(self) -> None:
        """Start the server and wait for it."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        command = [str(_BIN[-1] / "postgres"), "-D", str(self.data), "-k", str(self.folder)]
        self.process = subprocess.Popen(
            _as_postgres(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        ready = [str(_BIN[-1] / "pg_isready"), "-q", "-h", str(self.folder)]
        end = time.monotonic() + 60
        while subprocess.run(ready, check=False).returncode:
            assert time.monotonic() < end
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to the server and all its children, as a power cut would."""
        assert self.process is not None
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        for pid in (self.process.pid, *map(int, children.stdout.split())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)

    def new_store(self) -> str:
        """The URL of a new, empty schema."""
        self._schemas += 1
        name = f"store{self._schemas}"
        self.sql(f"CREATE SCHEMA {name}")
        return f"{self.url}&search_path={name}"

    def sql(self, command: str) -> str:
        """What psql answers."""
        psql = [str(_BIN[-1] / "psql"), "-qAtX", "-h", str(self.folder), "-U", _USER]
        run = subprocess.run([*psql, "-c", command], capture_output=True, text=True, check=True)
        return run.stdout.strip()

    @property
    def url(self) -> str:
        """Of its database."""
        return f"postgresql:///postgres?host={self.folder}&user={_USER}"


@contextlib.contextmanager
def postgres_server(durable: bool = False) -> Iterator[Postgres]:
    """A fresh PostgreSQL, started. Unless it is `durable`, it survives every kill of its processes,
    but not a power cut: enough for tests, and quicker."""
    folder = Path(tempfile.mkdtemp(prefix="volok-pg-"))
    if os.getuid() == 0:
        shutil.chown(folder, _USER, _USER)
    server = Postgres(folder)
    try:
        subprocess.run(
            _as_postgres(
                f"{_BIN[-1]}/initdb -D {server.data} -U {_USER} -A trust --no-locale -E UTF8"
                " --no-sync".split()
            ),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with (server.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in SETTINGS.items())
            file.write(f"fsync = {'on' if durable else 'off'}\n")
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@dataclass
class Nats:
    """One NATS server on loopback."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait for it."""
        program = shutil.which("nats-server") or "/usr/sbin/nats-server"
        self.process = subprocess.Popen(
            [program, "-a", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def nats_server() -> Iterator[Nats]:
    """A fresh NATS server, started."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        server = Nats(free.getsockname()[1])
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _as_postgres(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return command
    return ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", *command]

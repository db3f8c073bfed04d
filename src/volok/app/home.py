"""The home folder of a node: where its files lie, who may read them, and who is running it.

home.json         version of this layout
keyslot.json      the master key, wrapped by the passphrase; panic destroys this one first
vault.db          private state, encrypted
store.db          events, encrypted with a key derived from the master key
blobs/            encrypted files, named by their hash
carried/          sealed messages that are carried for others on local networks
preferences.json  language and the like: what must be known while the vault is locked
lock              held by the process that uses the folder
run.json          port and control token of a running node, readable by its owner alone
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from volok.app.errors import AppError
from volok.store.secure_files import write_private
from volok.store.vault import VaultTooNew

LAYOUT_VERSION = 1
RPC_PATH = "/api/rpc"
"""Where a running node takes commands, at the port and with the token of `RunInfo`."""


class HomeUnusable(AppError):
    """This folder cannot be used: it is not empty and holds no Volok. Choose another one."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """How to reach the node that is up for a home."""

    port: int
    token: str
    """Bearer token of the control channel."""
    pid: int


@dataclass(frozen=True, slots=True)
class Home:
    """The layout of one home folder. Holds no state: every question is asked of the disk."""

    root: Path

    @property
    def keyslot(self) -> Path:
        """The wrapped master key."""
        return self.root / "keyslot.json"

    @property
    def vault(self) -> Path:
        """The encrypted private state."""
        return self.root / "vault.db"

    @property
    def store(self) -> Path:
        """The event store."""
        return self.root / "store.db"

    @property
    def blobs(self) -> Path:
        """The folder of blobs."""
        return self.root / "blobs"

    @property
    def carried(self) -> Path:
        """The folder of what is carried for others on local networks."""
        return self.root / "carried"

    @property
    def preferences(self) -> Path:
        """What must be known while locked."""
        return self.root / "preferences.json"

    @property
    def restored(self) -> Path:
        """Lies here from the restoration of a backup until contacts are told of it."""
        return self.root / "restored"

    @property
    def lock(self) -> Path:
        """The file that the using process holds locked."""
        return self.root / "lock"

    @property
    def run(self) -> Path:
        """Port and token of the running node."""
        return self.root / "run.json"

    @property
    def version(self) -> Path:
        """The version of this layout."""
        return self.root / "home.json"

    def is_set_up(self) -> bool:
        """Whether a node was ever created here (its key may be destroyed since)."""
        return self.keyslot.exists() or self.vault.exists()

    def is_destroyed(self) -> bool:
        """Whether a vault lies here whose key is gone."""
        return self.vault.exists() and not self.keyslot.exists()

    def prepare(self) -> None:
        """Make the folder (0700) or check the one that is there.

        Raises HomeUnusable for a folder of other things, VaultTooNew for a newer layout, OSError.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.version.exists():
            if _version(self.version) > LAYOUT_VERSION:
                raise VaultTooNew
        elif any(entry.name != self.lock.name for entry in self.root.iterdir()):
            raise HomeUnusable
        else:
            write_private(self.version, json.dumps({"version": LAYOUT_VERSION}).encode())
        self.root.chmod(0o700)

    def read_run(self) -> RunInfo | None:
        """What a running node left for its commands; None when there is nothing usable."""
        try:
            value = json.loads(self.run.read_bytes())
            return RunInfo(int(value["port"]), str(value["token"]), int(value["pid"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_run(self, info: RunInfo) -> None:
        """Leave port and token for the commands, readable by the owner alone."""
        write_private(self.run, json.dumps(asdict(info)).encode())

    def clear_run(self) -> None:
        """Remove them."""
        self.run.unlink(missing_ok=True)


def default_home(environment: Mapping[str, str]) -> Path:
    """VOLOK_HOME, else the data folder of the XDG base directory specification."""
    if chosen := environment.get("VOLOK_HOME"):
        return Path(chosen).expanduser().absolute()
    data = environment.get("XDG_DATA_HOME", "")
    base = Path(data) if os.path.isabs(data) else Path.home() / ".local" / "share"
    return base / "volok"


def _version(path: Path) -> int:
    try:
        return int(json.loads(path.read_bytes())["version"])
    except (ValueError, KeyError, TypeError):
        return LAYOUT_VERSION

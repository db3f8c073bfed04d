"""What the management API changes, as a value and as a file. The value is pure.

The file is JSON with a version, private to its owner, replaced in one piece; with a seal, sealed.
Several processes may share it: a change is made under a lock, on what the file holds then.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from volok.model.event import is_hex32, is_kind, is_time
from volok.relay.errors import RelayError
from volok.relay.lists import Lists
from volok.relay.settings import RelaySettings
from volok.store.blobs import BlobError
from volok.store.file_seal import FileSeal
from volok.store.secure_files import PRIVATE, write_private

VERSION = 1
FILE = "management.json"
"""The name of the file in the folder of the relay."""

REASONS = (
    "banned_pubkeys",
    "allowed_pubkeys",
    "banned_events",
    "reviewed_events",
    "banned_blobs",
)
"""The lists that give a reason for each entry."""
_PURPOSE = b"management"
_KINDS = ("allowed_kinds", "disallowed_kinds")
_TEXTS = ("name", "description", "icon")

T = TypeVar("T")


class InvalidState(ValueError):
    """This is not the state of a relay, or one of a newer version."""


@dataclass(frozen=True, slots=True)
class State:
    """All that calls have changed."""

    lists: Lists = field(default_factory=Lists)
    name: str | None = None
    """In place of the setting of this name; None for the setting."""
    description: str | None = None
    icon: str | None = None
    used: Mapping[str, int] = field(default_factory=dict)
    """`created_at` of the authorizations of the last changes, by their ids: a restart forgets none
    that could be used again."""

    def over(self, settings: RelaySettings) -> RelaySettings:
        """The settings with what was changed of them."""
        changed = {one: getattr(self, one) for one in _TEXTS if getattr(self, one) is not None}
        return replace(settings, **changed) if changed else settings


def encode_state(state: State) -> bytes:
    """The state as the content of a file."""
    lists = state.lists
    document: dict[str, object] = {"version": VERSION, "used": dict(state.used)}
    document |= {name: dict(getattr(lists, name)) for name in REASONS}
    document |= {name: sorted(getattr(lists, name)) for name in _KINDS}
    document |= {name: getattr(state, name) for name in _TEXTS}
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def decode_state(data: bytes) -> State:
    """Read what `encode_state` gave, of this or an earlier version. Raises InvalidState."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidState from error
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise InvalidState
    lists: dict[str, Any] = {name: _reasons(document.get(name, {})) for name in REASONS}
    lists |= {name: _kinds(document.get(name, [])) for name in _KINDS}
    texts = {name: document.get(name) for name in _TEXTS}
    used = document.get("used", {})
    if not all(text is None or isinstance(text, str) for text in texts.values()):
        raise InvalidState
    if not isinstance(used, dict) or not all(is_hex32(one) for one in used):
        raise InvalidState
    if not all(is_time(time) for time in used.values()):
        raise InvalidState
    return State(Lists(**lists), **texts, used=used)


def _reasons(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise InvalidState
    if not all(is_hex32(name) and isinstance(reason, str) for name, reason in value.items()):
        raise InvalidState
    return value


def _kinds(value: object) -> frozenset[int]:
    if not isinstance(value, list) or not all(map(is_kind, value)):
        raise InvalidState
    return frozenset(value)


class StateFile:
    """The state of one relay, in memory and, with a path, in a file that several processes of this
    machine may share."""

    def __init__(self, path: Path | None, seal: FileSeal | None = None) -> None:
        """Read the file, if there is one. Raises RelayError, OSError."""
        self._path = path
        self._seal = seal
        self._seen: tuple[int, int, int] | None = None
        self._state = State()
        self.refresh()

    @property
    def state(self) -> State:
        """As it was when it was last read or changed here."""
        return self._state

    def refresh(self) -> State:
        """Read the file again if it was changed. Raises RelayError, OSError."""
        if self._path is None:
            return self._state
        try:
            stamp = _stamp(os.stat(self._path))
            if stamp != self._seen:
                data = self._path.read_bytes()
                self._state = decode_state(
                    self._seal.open_record(data, _PURPOSE) if self._seal else data
                )
                self._seen = stamp
        except FileNotFoundError:
            self._state, self._seen = State(), None
        except (InvalidState, BlobError) as error:
            raise RelayError(
                f"The file {FILE} in the folder of the relay is damaged, or from a newer version. "
                "Restore it or remove it; without it nobody is banned or allowed."
            ) from error
        return self._state

    def change(self, make: Callable[[State], tuple[State, T]]) -> T:
        """Change the state to what `make` gives for it, durably, and return what `make` gives
        beside. What `make` raises comes through. Raises RelayError, OSError."""
        with self._locked():
            state, result = make(self.refresh())
            if self._path is not None and state != self._state:
                data = encode_state(state)
                if self._seal is not None:
                    data = self._seal.seal_record(data, _PURPOSE)
                write_private(self._path, data)
                self._seen = _stamp(os.stat(self._path))
            self._state = state
        return result

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        lock = self._path.with_name(f"{self._path.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_size

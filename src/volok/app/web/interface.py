"""What the web app is handed: the node, its conversations, a place for scratch files, settings.

The web app opens no file or socket, starts no thread and reads no clock of its own; all of it comes
through here. `volok.app.node.Node` and `volok.chat.messenger.Messenger` satisfy these protocols.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Literal, Protocol

from volok.app.web.hints_interface import WebHints
from volok.app.web.paths_interface import WebWays
from volok.chat.views import (
    Change,
    Contact,
    FileView,
    InviteView,
    Message,
    Outgoing,
    SafetyNumber,
)

NodeState = Literal["new", "locked", "open", "destroyed"]
RelayState = Literal["connected", "connecting", "failed"]


class NodeError(Exception):
    """The node cannot do what it was asked for; the text says why and what to do."""


class NothingWaits(NodeError):
    """Nothing waits to be carried."""


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """One relay of ours and how it does."""

    url: str
    state: RelayState
    problem: str | None = None
    """When `failed`: a sentence that says why, in English; known ones are translated."""
    guards_inboxes: bool | None = None
    """Whether it serves kind 1059 only to its addressee (NIP-42, NIP-59). None: not known."""
    blossom: bool | None = None
    """Whether it takes blobs (BUD-02). None: not known."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """How the node does. The web app makes the sentence from it, in the person's language."""

    name: str
    state: NodeState
    relays: tuple[RelayStatus, ...] = ()
    waiting: int = 0
    """Messages of ours without receipt."""
    has_passphrase: bool = False
    heard: tuple[RelayStatus, ...] = ()
    """Relays that contacts told us of and that are used because none of `relays` can be."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the person chose. Readable in every state of the node; these are the defaults."""

    language: str = ""
    """A language tag such as `ru`; empty: what the browser asks for."""
    auto_lock_minutes: int = 0
    """Lock after so many minutes without any action; 0: never."""
    notifications: bool = False
    """Whether the browser shows notifications (without content)."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What went into a bundle."""

    messages: int


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What a bundle brought that was not here before."""

    events: int
    blobs: int


class WebChat(Protocol):
    """The conversations. Raises ChatError with a sentence for what cannot be done, VaultLocked when
    the vault is locked meanwhile. Ids are hexadecimal text."""

    async def contacts(self) -> list[Contact]: ...
    async def contact(self, id: str) -> Contact: ...
    async def rename(self, id: str, name: str) -> None: ...
    async def mute(self, id: str, on: bool) -> None: ...
    async def pin(self, id: str, on: bool) -> None: ...
    async def block(self, id: str, on: bool) -> None: ...
    async def forget(self, id: str) -> None: ...
    async def set_timer(self, id: str, seconds: int) -> None: ...
    async def safety_number(self, id: str) -> SafetyNumber: ...
    async def verify(self, id: str, on: bool) -> None: ...
    async def accept_key(self, id: str) -> None: ...

    async def messages(
        self, contact_id: str, before: int | None = None, limit: int = 50
    ) -> list[Message]: ...
    async def message(self, id: str) -> Message: ...
    async def search(self, text: str, limit: int = 50) -> list[Message]: ...
    async def send(
        self,
        contact_id: str,
        text: str,
        files: Sequence[Outgoing] = (),
        reply_to: str | None = None,
        view_once: bool = False,
    ) -> Message: ...
    async def react(self, message_id: str, emoji: str) -> None: ...
    async def edit(self, message_id: str, text: str) -> None: ...
    async def delete(self, message_id: str, for_everyone: bool) -> None: ...
    async def retry(self, message_id: str) -> None: ...
    async def seen(self, contact_id: str) -> None: ...
    async def file(self, file_id: str) -> tuple[FileView, AsyncIterator[bytes]]: ...
    async def open_once(self, file_id: str) -> tuple[FileView, bytes]: ...

    async def invite(self, days: int = 7, multiple: bool = False) -> InviteView: ...
    async def invites(self) -> list[InviteView]: ...
    async def revoke(self, invite_id: str) -> None: ...
    async def invite_file(self, invite_id: str) -> bytes: ...
    async def accept(self, link: str) -> Contact: ...
    async def accept_file(self, data: bytes) -> Contact: ...

    async def set_name(self, name: str) -> None: ...
    async def default_timer(self) -> int: ...
    async def set_default_timer(self, seconds: int) -> None: ...

    async def cursor(self) -> int: ...
    def follow(self, cursor: int) -> AsyncIterator[Sequence[Change]]:
        """Yield batches of changes above `cursor`, for ever; ends or raises VaultLocked when the
        vault is locked."""


class WebNode(Protocol):
    """The node. `state` and `chat` are plain properties; the methods are awaited."""

    @property
    def state(self) -> NodeState: ...
    @property
    def chat(self) -> WebChat:
        """The conversations. Raises VaultLocked unless the state is `open`."""

    @property
    def hints(self) -> WebHints:
        """What contacts tell each other of. Raises VaultLocked unless the state is `open`."""

    @property
    def ways(self) -> WebWays:
        """The ways out, and the doctor. Raises VaultLocked unless the state is `open`."""

    async def create(self, name: str, relays: Sequence[str], passphrase: str | None) -> None: ...
    async def unlock(self, passphrase: str | None) -> None:
        """Open the vault. Raises WrongPassphrase, VaultTooNew, VaultError."""

    async def lock(self) -> None: ...
    async def panic(self) -> None:
        """Destroy the vault's key at once."""

    async def change_passphrase(self, old: str | None, new: str | None) -> None:
        """Raises WrongPassphrase. None: without a passphrase."""

    async def status(self) -> NodeStatus: ...
    async def status_changed(self) -> None:
        """Return when `status()` or `state` may give something else than at the time of the call.
        Several may wait at once."""

    async def add_relay(self, url: str) -> None:
        """Raises NodeError when this is no relay address."""

    async def remove_relay(self, url: str) -> None: ...
    async def backup(self, path: Path) -> str | None:
        """Write an encrypted backup. Returns its recovery code; None: the passphrase opens it."""

    async def restore(self, path: Path, passphrase_or_code: str) -> None:
        """Take up a backup; only in state `new`. Raises WrongPassphrase, NodeError."""

    async def export_bundle(self, path: Path, contact_id: str | None) -> ExportReport:
        """Raises NothingWaits, NodeError."""

    async def import_bundle(self, path: Path) -> ImportReport:
        """Raises NodeError when this is no bundle, or not for us."""

    async def preferences(self) -> Preferences: ...
    async def set_preference(self, name: str, value: str | int | bool) -> None:
        """`name` is a field of Preferences."""


class Scratch(Protocol):
    """A private place for files on their way between the browser and the node (all of them
    encrypted already). Paths are only ever handed back to the node and to this object."""

    def new(self) -> Path:
        """A fresh path; nothing is there yet."""

    async def write(self, path: Path, data: AsyncIterator[bytes]) -> None:
        """Store what arrives."""

    def read(self, path: Path) -> AsyncIterator[bytes]:
        """Yield the bytes in pieces."""

    async def remove(self, path: Path) -> None:
        """Remove it; missing is fine."""


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Settings of the web app."""

    port: int
    """The port on loopback that the browser uses."""
    now: Callable[[], float]
    """The clock, in Unix seconds."""
    random: Callable[[int], bytes]
    """So many random bytes from the operating system."""
    scratch: Scratch
    """Where uploads and downloads of bundles and backups lie for a moment."""
    host_name: str = "volok"
    """The node's own label: pages live at `HOST_NAME.localhost`."""
    cookie_suffix: str = "volok"
    """Ends the cookie's name: cookies ignore ports, so each node needs its own."""
    zone: tzinfo | None = None
    """The time zone that times are shown in; None: the machine's."""
    token_seconds: int = 600
    """How long a one-time link to the web app may be used."""
    max_upload_bytes: int = 105_000_000
    """The largest request body taken in; files may have up to 100 MB."""
    page_size: int = 50
    """Messages shown at once in a conversation."""
    heartbeat_seconds: float = 15.0
    """Pause after which an idle event stream sends a comment, so that a dead one is noticed."""

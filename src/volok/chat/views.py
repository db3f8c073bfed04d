"""What a person sees: the read models of conversations, ready to be shown or printed.

All values are plain and frozen. Times are Unix milliseconds unless a name says otherwise; ids are
lower-case hexadecimal. Text in here was written by people: whoever renders it must escape it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ContactState(Enum):
    """Where the relationship stands."""

    WAITING = "waiting"
    """We accepted their invite; their node has not answered yet. Messages may be sent already."""
    ACTIVE = "active"
    KEY_CHANGED = "key-changed"
    """Their identity key is another one now; sending is held until the person accepts it."""
    BLOCKED = "blocked"


class MessageState(Enum):
    """How far a message of ours has come, each state true end to end; for theirs, what we did."""

    QUEUED = "queued"
    """Kept here, and on no relay yet."""
    RELAYED = "relayed"
    """At least one relay of theirs has taken all of it."""
    DELIVERED = "delivered"
    """Their node has it."""
    READ = "read"
    """They have seen it (theirs: we have)."""
    FAILED = "failed"
    """It cannot be sent; `Message.problem` says why and what to do."""
    RECEIVED = "received"
    """Theirs, not yet seen by us."""


class FileState(Enum):
    """Where the bytes of an attached file are."""

    WAITING = "waiting"
    """Announced; none of it is here yet."""
    LOADING = "loading"
    READY = "ready"
    GONE = "gone"
    """View-once and seen, expired, deleted, or no longer on any relay."""


class FileKind(Enum):
    """How a file is shown."""

    PICTURE = "picture"
    VOICE = "voice"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class FileView:
    """A file attached to a message."""

    id: str
    kind: FileKind
    name: str
    """Sanitised: a plain file name."""
    media_type: str
    size: int
    state: FileState
    progress: float
    """Share of its bytes that are here (ours: that a relay of theirs has taken), 0 to 1."""
    width: int | None = None
    height: int | None = None
    duration: int | None = None
    """Of a voice note, in milliseconds."""
    thumbnail: str | None = None
    """A tiny picture as a data: URL (image/webp or image/jpeg)."""


@dataclass(frozen=True, slots=True)
class Quote:
    """The message that another one answers."""

    id: str
    mine: bool
    text: str
    """Its beginning; empty when it is not here any more."""


@dataclass(frozen=True, slots=True)
class ReactionView:
    """One person's reaction."""

    emoji: str
    mine: bool


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation, or one line that the program wrote into it (`notice`)."""

    id: str
    contact: str
    """Id of the contact whose conversation this is."""
    mine: bool
    text: str
    sent_at: int
    order: int
    """Its place in the conversation on this node; larger is later."""
    state: MessageState
    problem: str | None = None
    notice: str | None = None
    """For lines of the program, a key such as `timer-changed`, `invite-used-twice`,
    `key-changed`, `cloned-backup`, `contact-added`; `text` then holds its parameter."""
    edited: bool = False
    deleted: bool = False
    view_once: bool = False
    expires_at: int | None = None
    quote: Quote | None = None
    reactions: tuple[ReactionView, ...] = ()
    files: tuple[FileView, ...] = ()


@dataclass(frozen=True, slots=True)
class Contact:
    """A person we talk to."""

    id: str
    name: str
    """As we call them: our own name for them if we gave one, else the one they gave."""
    state: ContactState
    verified: bool
    """We compared the safety number."""
    muted: bool
    pinned: bool
    unread: int
    timer: int
    """Seconds after which messages disappear; 0 for never."""
    last: Message | None
    waiting: int
    """Our messages that no receipt has come for."""


@dataclass(frozen=True, slots=True)
class InviteView:
    """An invite that we made."""

    id: str
    link: str
    created_at: int
    expires_at: int
    multiple: bool
    """Whether several people may use it."""
    used: int
    """How many have."""
    revoked: bool


@dataclass(frozen=True, slots=True)
class SafetyNumber:
    """What two people compare to know that nobody sits between them."""

    digits: str
    """60 digits; show them in twelve groups of five."""
    code: str
    """The text of the QR code; comparing it is exact."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the journal: something that a page may want to show anew."""

    cursor: int
    kind: str
    """`message` (new or changed), `contact` (new or changed), `typing` is never sent."""
    contact: str
    message: str | None
    new: bool
    """Whether this is a message of theirs that has just arrived."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file to be sent."""

    name: str
    media_type: str
    data: bytes
    kind: FileKind = FileKind.FILE
    width: int | None = None
    height: int | None = None
    duration: int | None = None
    thumbnail: bytes | None = None
    """A picture of at most 4 KiB (image/webp)."""


class ChatError(Exception):
    """Something that the person asked for cannot be done; the text says why and what to do."""

"""The messages of the nostr protocol, both roles (NIP-01, NIP-42, NIP-45, NIP-77). Pure.

1. Parsers take what a JSON decoder gave and raise `InvalidMessage`; nothing else. How deep and how
   long a frame may be is the caller's limit.
2. Elements after those named here are ignored: later NIPs add some.
3. A parsed event has the right shape; nobody has checked its id and signature yet.
4. What is made for each event is a named tuple, which is made in half the time of a dataclass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from volok.model.event import Event, InvalidEvent, compact_json, is_hex32, parse_event, quoted
from volok.model.filters import Filter, InvalidFilter, UnknownCondition, parse_filter
from volok.sync.neg_messages import NegClose, NegError, NegMessage, NegOpen

MAX_SUBSCRIPTION = 64
"""Characters in the name of a subscription (NIP-01)."""
_MAX_ECHO = 256
"""Characters of a wrong name of a subscription that are said back."""

FINISH, MORE = "finish", "more"
"""Hints of EOSE (NIP-67): nothing is left out; something is."""


class InvalidMessage(ValueError):
    """This is not a message of the nostr protocol.

    `event_id` and `subscription` say what the message was about as far as that is known, so that
    a relay can answer with OK or CLOSED; `reconciling`: with NEG-ERR, whose names are their own;
    `unsupported`: it may be right by a NIP that we do not know.
    """

    def __init__(
        self,
        text: str,
        *,
        event_id: str | None = None,
        subscription: str | None = None,
        reconciling: bool = False,
        unsupported: bool = False,
    ) -> None:
        super().__init__(text)
        self.event_id = event_id
        self.subscription = subscription
        self.reconciling = reconciling
        self.unsupported = unsupported


class Prefix(StrEnum):
    """The machine-readable first word of OK and CLOSED (NIP-01, NIP-42)."""

    DUPLICATE = "duplicate"
    POW = "pow"
    BLOCKED = "blocked"
    RATE_LIMITED = "rate-limited"
    INVALID = "invalid"
    RESTRICTED = "restricted"
    AUTH_REQUIRED = "auth-required"
    UNSUPPORTED = "unsupported"
    MUTE = "mute"
    ERROR = "error"


_PREFIXES = frozenset(prefix.value for prefix in Prefix)


def prefix_of(message: str) -> str:
    """The machine-readable prefix of an OK or CLOSED message: one of `Prefix`, or ""."""
    word, colon, _ = message.partition(":")
    return word if colon and word in _PREFIXES else ""


class EventMessage(NamedTuple):
    """Client: take this event in."""

    event: Event

    def to_text(self) -> str:
        """The message as one text frame."""
        return f'["EVENT",{self.event.to_json().decode()}]'


@dataclass(frozen=True, slots=True)
class Req:
    """Client: send what matches any of the filters, now and from now on."""

    subscription: str
    filters: tuple[Filter, ...]

    def to_text(self) -> str:
        """The message as one text frame."""
        return compact_json(["REQ", self.subscription, *(f.to_object() for f in self.filters)])


@dataclass(frozen=True, slots=True)
class Close:
    """Client: end this subscription."""

    subscription: str

    def to_text(self) -> str:
        """The message as one text frame."""
        return compact_json(["CLOSE", self.subscription])


@dataclass(frozen=True, slots=True)
class Auth:
    """Client: I hold the key that signed this (NIP-42)."""

    event: Event

    def to_text(self) -> str:
        """The message as one text frame."""
        return f'["AUTH",{self.event.to_json().decode()}]'


@dataclass(frozen=True, slots=True)
class Count:
    """Client: how many events match any of the filters? (NIP-45)."""

    subscription: str
    filters: tuple[Filter, ...]

    def to_text(self) -> str:
        """The message as one text frame."""
        return compact_json(["COUNT", self.subscription, *(f.to_object() for f in self.filters)])


@dataclass(frozen=True, slots=True)
class EventFor:
    """Relay: an event for a subscription."""

    subscription: str
    event: Event

    def to_text(self) -> str:
        """The message as one text frame."""
        return event_text(self.subscription, self.event.to_json())


class Ok(NamedTuple):
    """Relay: what became of an event. A refusal begins with a `Prefix` and a colon."""

    event_id: str
    accepted: bool
    message: str = ""

    def to_text(self) -> str:
        """The message as one text frame."""
        accepted = "true" if self.accepted else "false"
        return f'["OK",{quoted(self.event_id)},{accepted},{quoted(self.message)}]'


@dataclass(frozen=True, slots=True)
class Eose:
    """Relay: that was all that is stored; what follows is new."""

    subscription: str
    hints: tuple[str, ...] = ()
    """FINISH, MORE or what later NIPs add (NIP-67); their absence says nothing."""

    def to_text(self) -> str:
        """The message as one text frame."""
        hints = [self.hints] if self.hints else []
        return compact_json(["EOSE", self.subscription, *hints])


@dataclass(frozen=True, slots=True)
class Closed:
    """Relay: this subscription has ended. The message begins with a `Prefix` and a colon."""

    subscription: str
    message: str = ""

    def to_text(self) -> str:
        """The message as one text frame."""
        return compact_json(["CLOSED", self.subscription, self.message])


@dataclass(frozen=True, slots=True)
class Notice:
    """Relay: a sentence for people."""

    message: str

    def to_text(self) -> str:
        """The message as one text frame."""
        return compact_json(["NOTICE", self.message])


@dataclass(frozen=True, slots=True)
class AuthChallenge:
    """Relay: sign this to show which keys you hold (NIP-42)."""

    challenge: str

    def to_text(self) -> str:
        """The message as one text frame."""
        return compact_json(["AUTH", self.challenge])


@dataclass(frozen=True, slots=True)
class Counted:
    """Relay: so many events match (NIP-45)."""

    subscription: str
    count: int

    def to_text(self) -> str:
        """The message as one text frame."""
        return compact_json(["COUNT", self.subscription, {"count": self.count}])


ClientMessage = EventMessage | Req | Close | Auth | Count | NegOpen | NegMessage | NegClose
RelayMessage = (
    EventFor | Ok | Eose | Closed | Notice | AuthChallenge | Counted | NegMessage | NegError
)


def event_text(subscription: str, raw: bytes) -> str:
    """What `EventFor.to_text` gives, straight from the canonical JSON that a store holds."""
    return f'["EVENT",{compact_json(subscription)},{raw.decode()}]'


def parse_client_message(obj: object) -> ClientMessage:
    """Read what a client sent. Raises InvalidMessage."""
    name, rest = _split(obj)
    if name not in _CLIENT:
        raise InvalidMessage("The message has an unknown name.")
    return _CLIENT[name](rest)


def parse_relay_message(obj: object) -> RelayMessage:
    """Read what a relay sent. Raises InvalidMessage."""
    name, rest = _split(obj)
    if name not in _RELAY:
        raise InvalidMessage("The message has an unknown name.")
    return _RELAY[name](rest)


def _split(obj: object) -> tuple[str, list[object]]:
    if type(obj) is not list or not obj or type(obj[0]) is not str:
        raise InvalidMessage("A message is a list that begins with its name.")
    return obj[0], obj[1:]


def _text(rest: list[object], place: int, default: str | None = None) -> str:
    if len(rest) <= place and default is not None:
        return default
    value = rest[place] if len(rest) > place else None
    if type(value) is not str:
        raise InvalidMessage("A string is missing.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessage("The text holds lone surrogates.") from error
    return value


def _subscription(rest: list[object]) -> str:
    value = _text(rest, 0)
    if not 0 < len(value) <= MAX_SUBSCRIPTION:
        problem = "The name of a subscription has 1 to 64 characters."
        raise InvalidMessage(problem, subscription=value if len(value) <= _MAX_ECHO else None)
    return value


def _event(rest: list[object], place: int) -> Event:
    value = rest[place] if len(rest) > place else None
    try:
        return parse_event(value)
    except InvalidEvent as error:
        name = value.get("id") if type(value) is dict else None
        raise InvalidMessage(str(error), event_id=name if is_hex32(name) else None) from error


def _question(rest: list[object]) -> tuple[str, tuple[Filter, ...]]:
    subscription = _subscription(rest)
    if len(rest) < 2:
        raise InvalidMessage("There is no filter.", subscription=subscription)
    try:
        return subscription, tuple(map(parse_filter, rest[1:]))
    except UnknownCondition as error:
        raise InvalidMessage(str(error), subscription=subscription, unsupported=True) from error
    except InvalidFilter as error:
        raise InvalidMessage(str(error), subscription=subscription) from error


def _frame(rest: list[object], place: int, subscription: str) -> bytes:
    value = rest[place] if len(rest) > place else None
    try:
        frame = bytes.fromhex(value) if type(value) is str else b""
    except ValueError:
        frame = b""
    if not frame or len(value) != 2 * len(frame):  # type: ignore[arg-type]  # a string, then
        problem = "The frame is not in hexadecimal."
        raise InvalidMessage(problem, subscription=subscription, reconciling=True)
    return frame


def _reconciliation(rest: list[object]) -> str:
    try:
        return _subscription(rest)
    except InvalidMessage as error:
        error.reconciling = True
        raise


def _neg_open(rest: list[object]) -> NegOpen:
    subscription = _reconciliation(rest)
    try:
        wanted = parse_filter(rest[1] if len(rest) > 1 else None)
    except InvalidFilter as error:
        raise InvalidMessage(
            str(error),
            subscription=subscription,
            reconciling=True,
            unsupported=isinstance(error, UnknownCondition),
        ) from error
    return NegOpen(subscription, wanted, _frame(rest, 2, subscription))


def _neg_message(rest: list[object]) -> NegMessage:
    subscription = _reconciliation(rest)
    return NegMessage(subscription, _frame(rest, 1, subscription))


def _neg_error(rest: list[object]) -> NegError:
    most = rest[2] if len(rest) > 2 else None
    told = type(most) is int and 0 < most < 2**53  # some relays give it as text, or not at all
    return NegError(_subscription(rest), _text(rest, 1, ""), most if told else None)  # type: ignore[arg-type]


def _hints(rest: list[object]) -> tuple[str, ...]:
    hints = rest[1] if len(rest) > 1 else None
    if type(hints) is not list:
        return ()
    return tuple(hint for hint in hints if hint in (FINISH, MORE))


def _ok(rest: list[object]) -> Ok:
    name, accepted = _text(rest, 0), rest[1] if len(rest) > 1 else None
    if not is_hex32(name) or type(accepted) is not bool:
        raise InvalidMessage("OK names an event and says true or false.")
    return Ok(name, accepted, _text(rest, 2, ""))


def _counted(rest: list[object]) -> Counted:
    subscription, answer = _subscription(rest), rest[1] if len(rest) > 1 else None
    count = answer.get("count") if type(answer) is dict else None
    if type(count) is not int or count < 0:
        raise InvalidMessage("COUNT gives no number.", subscription=subscription)
    return Counted(subscription, count)


_CLIENT: dict[str, Callable[[list[object]], ClientMessage]] = {
    "EVENT": lambda rest: EventMessage(_event(rest, 0)),
    "REQ": lambda rest: Req(*_question(rest)),
    "CLOSE": lambda rest: Close(_subscription(rest)),
    "AUTH": lambda rest: Auth(_event(rest, 0)),
    "COUNT": lambda rest: Count(*_question(rest)),
    "NEG-OPEN": _neg_open,
    "NEG-MSG": _neg_message,
    "NEG-CLOSE": lambda rest: NegClose(_reconciliation(rest)),
}

_RELAY: dict[str, Callable[[list[object]], RelayMessage]] = {
    "EVENT": lambda rest: EventFor(_subscription(rest), _event(rest, 1)),
    "OK": _ok,
    "EOSE": lambda rest: Eose(_subscription(rest), _hints(rest)),
    "CLOSED": lambda rest: Closed(_subscription(rest), _text(rest, 1, "")),
    "NOTICE": lambda rest: Notice(_text(rest, 0)),
    "AUTH": lambda rest: AuthChallenge(_text(rest, 0)),
    "COUNT": _counted,
    "NEG-MSG": _neg_message,
    "NEG-ERR": _neg_error,
}

"""The calls of the management API (NIP-86). Pure: a state and a call in, a new state out.

1. Methods on IP addresses are missing: a relay that writes none down has none to block. Roles are
   missing: there is one, whoever holds a key of `admins`.
2. To ban a key, an event or a blob is to erase it here, too; `Effects` says what.
3. To ban what is allowed takes it off that list, and the other way round.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from volok.model.event import is_hex32, is_kind
from volok.relay.lists import Lists
from volok.relay.management_state import REASONS, State

MAX_BODY = 64 * 1024
"""The longest call, in bytes."""
MAX_ENTRIES = 100_000
"""The most entries of one list."""
MAX_TEXT = 2_000
"""The longest reason, name, description or icon, in characters."""


class InvalidCall(ValueError):
    """The call cannot be carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """A method and its parameters."""

    method: str
    params: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Effects:
    """What a change asks for beside itself."""

    author: str = ""
    """Erase the events of this public key."""
    event: str = ""
    """Erase the event with this id."""
    blob: str = ""
    """Erase the blob with this hash."""


def parse_call(body: bytes) -> Call:
    """Read the body of a request. Raises InvalidCall."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidCall("The call is not JSON.") from error
    method = value.get("method") if isinstance(value, dict) else None
    params = value.get("params", []) if isinstance(value, dict) else None
    if not isinstance(method, str) or not isinstance(params, list):
        raise InvalidCall('A call is an object like {"method": "banpubkey", "params": ["..."]}.')
    return Call(method, tuple(params))


def changes(call: Call) -> bool:
    """Whether this is a call that `apply` carries out."""
    return call.method in _CHANGES


def reads(call: Call) -> bool:
    """Whether this is a call that `answer` answers."""
    return call.method in _READS


def apply(call: Call, state: State) -> tuple[State, Effects]:
    """Carry out a call that changes something. Raises InvalidCall."""
    state, effects = _CHANGES[call.method](state, call.params)
    for name in REASONS:
        if len(getattr(state.lists, name)) > MAX_ENTRIES:
            raise InvalidCall(f"The list is full: it holds {MAX_ENTRIES} entries.")
    return state, effects


def answer(call: Call, state: State) -> object:
    """The result of a call that only reads."""
    return _READS[call.method](state.lists)


Change = Callable[[State, tuple[object, ...]], tuple[State, Effects]]
Read = Callable[[Lists], object]


def _put(  # the name of a list to put on, of one to take off, and what is erased
    onto: str, off: str, effect: str, state: State, params: tuple[object, ...]
) -> tuple[State, Effects]:
    name, reason = _name(params), _text(params[1]) if len(params) > 1 and params[1] else ""
    changed: dict[str, Any] = {
        each: {one: why for one, why in getattr(state.lists, each).items() if one != name}
        for each in (onto, off)
        if each
    }
    if onto:
        changed[onto][name] = reason
    effects = Effects(**{effect: name}) if effect else Effects()
    return replace(state, lists=replace(state.lists, **changed)), effects


def _kind(allow: bool, state: State, params: tuple[object, ...]) -> tuple[State, Effects]:
    if len(params) != 1 or not is_kind(params[0]):
        raise InvalidCall("Name one kind: a number from 0 to 65535.")
    kind = frozenset({int(str(params[0]))})
    lists = state.lists
    allowed, disallowed = lists.allowed_kinds - kind, lists.disallowed_kinds | kind
    if allow:
        # What was only disallowed is as it was before; it does not become the only kind allowed.
        undone = not lists.allowed_kinds and kind <= lists.disallowed_kinds
        allowed = lists.allowed_kinds | (frozenset() if undone else kind)
        disallowed = lists.disallowed_kinds - kind
    elif lists.allowed_kinds == kind:
        raise InvalidCall("This is the only kind allowed. Allow another first.")
    lists = replace(lists, allowed_kinds=allowed, disallowed_kinds=disallowed)
    return replace(state, lists=lists), Effects()


def _rename(what: str, state: State, params: tuple[object, ...]) -> tuple[State, Effects]:
    if len(params) != 1:
        raise InvalidCall("Give one text.")
    changed: dict[str, Any] = {what: _text(params[0])}
    return replace(state, **changed), Effects()


def _name(params: tuple[object, ...]) -> str:
    if not 1 <= len(params) <= 2 or not is_hex32(params[0]):
        raise InvalidCall("Name 64 lower-case hexadecimal characters, and a reason if you like.")
    return str(params[0])


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        raise InvalidCall(f"A text has one line of at most {MAX_TEXT} characters.")
    return value


def _listed(which: str, key: str, lists: Lists) -> object:
    return [{key: name, "reason": why} for name, why in getattr(lists, which).items()]


_CHANGES: Mapping[str, Change] = {
    "banpubkey": partial(_put, "banned_pubkeys", "allowed_pubkeys", "author"),
    "unbanpubkey": partial(_put, "", "banned_pubkeys", ""),
    "allowpubkey": partial(_put, "allowed_pubkeys", "banned_pubkeys", ""),
    "unallowpubkey": partial(_put, "", "allowed_pubkeys", ""),
    "banevent": partial(_put, "banned_events", "reviewed_events", "event"),
    "allowevent": partial(_put, "reviewed_events", "banned_events", ""),
    "banblob": partial(_put, "banned_blobs", "", "blob"),
    "unbanblob": partial(_put, "", "banned_blobs", ""),
    "allowkind": partial(_kind, True),
    "disallowkind": partial(_kind, False),
    "changerelayname": partial(_rename, "name"),
    "changerelaydescription": partial(_rename, "description"),
    "changerelayicon": partial(_rename, "icon"),
}

_READS: Mapping[str, Read] = {
    "listbannedpubkeys": partial(_listed, "banned_pubkeys", "pubkey"),
    "listallowedpubkeys": partial(_listed, "allowed_pubkeys", "pubkey"),
    "listbannedevents": partial(_listed, "banned_events", "id"),
    "listbannedblobs": partial(_listed, "banned_blobs", "sha256"),
    "listallowedkinds": lambda lists: sorted(lists.allowed_kinds),
    "listdisallowedkinds": lambda lists: sorted(lists.disallowed_kinds),
}

METHODS = (*_CHANGES, *_READS)
"""The methods of this module."""

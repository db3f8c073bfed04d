"""From what was seen of one place to how it can be reached. Pure."""

from __future__ import annotations

from volok.paths.doctor_report import PlaceState, Way
from volok.paths.doctor_seen import (
    Attempt,
    Hello,
    Lookup,
    NameSeen,
    Outcome,
    PlaceSeen,
    Stage,
)

_OF_USE = 6000
"""Bytes both ways, greeting included, that a connection has to carry to be of use."""
_MUCH_LESS = 0.65
"""The share of the packets that a limit on all connections alike leaves no room for."""


def place_state(place: PlaceSeen) -> PlaceState:
    """How one place can be reached, by what was seen of it."""
    ways: list[Way] = []
    answered = set((place.name or NameSeen(Lookup.NOT_NEEDED)).addresses)
    proved = [one for one in place.attempts if one.proved and _lasts(one)]
    by_hello = {
        Hello.NAMED: Way.PLAIN,
        Hello.PLAIN: Way.PLAIN,
        Hello.CUT: Way.CUT,
        Hello.NAMELESS: Way.NAMELESS,
        Hello.OTHER: Way.OTHER,
    }
    for hello, way in by_hello.items():
        if any(one.hello is hello for one in proved) and way not in ways:
            ways.append(way)
    at = {one.address for one in proved}
    looked = place.name is not None and place.name.lookup is not Lookup.NOT_NEEDED
    if proved and looked and not at & answered:
        ways.insert(0, Way.KNOWN_ADDRESS)
    paths = tuple(name for name, works in place.ways if works)
    if paths:
        ways.append(Way.PATH)
    if place.works:
        ways.append(Way.FILES)
    short = any(one.frozen and not for_the_name(one, place) for one in place.attempts)
    return PlaceState(place.id, place.is_relay, tuple(ways), paths, short, place.problem)


def for_the_name(attempt: Attempt, place: PlaceSeen) -> bool:
    """Whether this connection fell silent because of its name: without it, it would not have."""
    return attempt.hello is Hello.NAMED and any(
        outlasts(one, attempt)
        for one in place.attempts
        if one.hello is not Hello.NAMED and one.address == attempt.address
    )


def outlasts(other: Attempt, named: Attempt) -> bool:
    """Whether a connection without the name carried much more than the one that was cut off."""
    if other.whole:
        return True
    if other.stage is not Stage.CARRY or other.carried is None or not other.carried.packets:
        return False
    if named.carried is None or not named.carried.packets:
        return named.stage is Stage.SPEECH
    return named.carried.packets < _MUCH_LESS * other.carried.packets


def _lasts(attempt: Attempt) -> bool:
    """Whether a connection like this is of use: one that froze for carrying much is, one that was
    cut off before it carried anything is not."""
    if attempt.stage is Stage.SPEECH:
        return attempt.outcome is Outcome.WORKS
    if attempt.stage is Stage.CARRY and attempt.outcome is not Outcome.WORKS:
        return attempt.carried is not None and attempt.carried.bytes > _OF_USE
    return True

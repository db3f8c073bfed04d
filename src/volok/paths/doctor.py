"""What is blocked on this network, told from small observations. Pure.

The table, in the order in which it is read. A place is a relay or a drop of the person's own; it is
proved where its key or certificate was shown. "Not sure" findings say so in their sentence.

 1. No place on a network: there is nothing to ask, and nothing to say.
 2. The computer knows no way out: `offline`.
 3. Nobody answers at all, no name server either: `island`.
 4. No relay's name is answered and none opens, but something else answers: `shutdown`. Not sure
    where no relay's address was known to try.
 5. Relays open, but whatever greeting is sent to any of them, nothing comes back, and their names
    are not answered or something else works: `whitelist`. When a greeting that names another of
    the person's places is answered there, the list is one of names.
 Where 2 to 5 hold, nothing further is concluded about single places.
 6. A name's addresses are none of the place's, and one of them is not public, or name servers gave
    several answers, or a question sent where no name server is was answered, or another address
    is known and proved itself: `dns-poison`. There is no such name, though the place is there:
    the same, by denial.
 7. At one and the same address a greeting without the name is answered, and with the name it is
    reset, or dropped, or cut off soon after: `sni-rst`. Not sure where every greeting is reset.
 8. A connection that does not show the name falls silent while it carries: `curtain`.
 9. With the name a full connection is slow, without it several times as fast: `throttle`.
10. No address of a place opens: `ip-block` where another path leads to it. Also, but not sure,
    where all of several relays are so while something else answers. Else it is `gone`: from inside,
    nobody can tell a relay that was found out, taken or switched off from one that is blocked.
11. Others answer in the place of several: `portal`; of one: `stranger`. A certificate is out of
    date: `clock`.
12. One side check failed: `quic-block`, `protocol-filter`, `random-block`, `parallel-ban`.
13. Everything was found open: `not-blocked`. All but a drop: `drop-fails`; it says itself why.

No censor can be told by what it does not do to us: `ech-block` concerns nothing that the program
sends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from volok.paths.doctor_report import CUT_OFF, Diagnosis, Finding, How, Kind, PlaceState
from volok.paths.doctor_seen import (
    Attempt,
    Hello,
    Lookup,
    Observations,
    Outcome,
    PlaceSeen,
    Stage,
    is_public,
)
from volok.paths.doctor_ways import for_the_name, outlasts, place_state

SLOW = 50_000.0
"""Bytes a second; what policing leaves is a third of that."""
SLOWER = 3.0
"""How many times faster a connection without the name is than one that is throttled for it."""
_SEVERAL = 2


def diagnose(seen: Observations) -> Diagnosis:
    """Read the table at the head of this module."""
    places = tuple(place_state(place) for place in seen.places)
    whole = _whole(seen)
    findings = [whole] if whole is not None else [*_single(seen), *_sides(seen)]
    if not findings:
        findings = [_nothing_found(seen, places)]
    return Diagnosis(tuple(findings), places, _not_tried(seen, findings))


def _nothing_found(seen: Observations, places: Sequence[PlaceState]) -> Finding:
    shut = [place for place in places if not place.open]
    if seen.complete and not any(place.is_relay for place in shut):
        ids = tuple(place.id for place in shut)
        return Finding(Kind.DROP_FAILS if shut else Kind.NOT_BLOCKED, places=ids)
    return Finding(Kind.UNCLEAR)


def _whole(seen: Observations) -> Finding | None:
    """Rules 1 to 5."""
    network = [place for place in seen.places if place.is_network]
    if not network:
        return Finding(Kind.NOTHING_TO_ASK)
    alive = any(map(_shows_life, network)) or seen.name_server is True
    if not seen.has_route and not alive:
        return Finding(Kind.OFFLINE)
    unanswered = any(_looked(place) is Lookup.NO_ANSWER for place in network)
    if not alive:
        dead = seen.name_server is False or unanswered
        return Finding(Kind.ISLAND) if dead and seen.complete else None
    relays = [place for place in network if place.is_relay and place.straight]
    if not relays:
        return None
    tried = [one for relay in relays for one in relay.attempts]
    if not any(map(_shows_life, relays)) and all(
        _looked(relay) in (Lookup.NO_ANSWER, Lookup.NOT_NEEDED) for relay in relays
    ):
        names = any(_looked(relay) is Lookup.NO_ANSWER for relay in relays)
        return Finding(Kind.SHUTDOWN, sure=bool(tried)) if names else None
    return _whitelist(network, relays, tried)


def _whitelist(
    network: Sequence[PlaceSeen], relays: Sequence[PlaceSeen], tried: Sequence[Attempt]
) -> Finding | None:
    greeted = [one for one in tried if one.stage >= Stage.GREETING]
    ours = [one for one in greeted if one.hello is not Hello.OTHER]
    silent = all(one.stage is Stage.GREETING and one.outcome is Outcome.SILENT for one in ours)
    opened = [relay for relay in relays if any(one.opened for one in relay.attempts)]
    kinds = {one.hello for one in ours}
    if not ours or not silent or not kinds & {Hello.NAMELESS, Hello.CUT}:
        return None
    elsewhere = any(place.answers for place in network if place not in relays)
    unanswered = any(_looked(relay) is Lookup.NO_ANSWER for relay in relays)
    if not (elsewhere or unanswered or len(opened) >= _SEVERAL):
        return None
    named = any(one.hello is Hello.OTHER and one.greeted for one in greeted)
    return Finding(Kind.WHITELIST, how=How.NAMES if named else None)


def _single(seen: Observations) -> list[Finding]:
    """Rules 6 to 11."""
    network = [place for place in seen.places if place.is_network]
    findings = [
        *_names(network),
        *_greetings(network),
        *_freezes(network),
        *_throttled(network),
        *_strangers(network),
    ]
    explained = {one for finding in findings for one in finding.places}
    return findings + _lost(network, explained, alive=seen.name_server is True)


def _names(network: Sequence[PlaceSeen]) -> list[Finding]:
    forged = tuple(place.id for place in network if _is_forged(place))
    denied = tuple(
        place.id
        for place in network
        if _looked(place) in (Lookup.NO_SUCH_NAME, Lookup.NO_ANSWER) and place.proved_at
    )
    found = [Finding(Kind.DNS_POISON, how=How.FORGED, places=forged)] if forged else []
    if denied:
        # A name server that answers nothing at all may only be slow.
        sure = any(_looked(place) in (Lookup.ANSWERED, Lookup.NO_SUCH_NAME) for place in network)
        found.append(Finding(Kind.DNS_POISON, sure, How.DENIED, denied))
    return found


def _is_forged(place: PlaceSeen) -> bool:
    name = place.name
    if name is None:
        return False
    if name.injected:
        return True
    theirs = {*place.proved_at, *place.known}
    if name.lookup is not Lookup.ANSWERED or theirs.intersection(name.addresses):
        return False
    return (
        bool(place.proved_at)
        or not all(map(is_public, name.addresses))
        or len(set(map(frozenset, name.answers))) > 1
    )


def _greetings(network: Sequence[PlaceSeen]) -> list[Finding]:
    found: dict[tuple[How, bool], list[str]] = {}
    for place in network:
        verdicts = [
            verdict
            for address in dict.fromkeys(one.address for one in place.attempts)
            if (verdict := _greeting([one for one in place.attempts if one.address == address]))
        ]
        if verdicts:
            found.setdefault(max(verdicts, key=lambda one: one[1]), []).append(place.id)
    return [
        Finding(Kind.SNI_RST, sure, how, tuple(ids))
        for (how, sure), ids in sorted(found.items(), key=lambda one: not one[0][1])
    ]


def _greeting(attempts: Sequence[Attempt]) -> tuple[How, bool] | None:
    """What becomes of the name at one address, and whether that is sure."""
    named = [one for one in attempts if one.hello is Hello.NAMED]
    others = [one for one in attempts if one.hello not in (Hello.NAMED, Hello.PLAIN)]
    if any(one.whole for one in named) or not named:
        return None
    last = named[-1]
    if last.stage is Stage.GREETING and any(one.greeted for one in others):
        if last.outcome is Outcome.RESET:
            return How.RESET, True
        if last.outcome is Outcome.SILENT:
            return How.SILENT, True
    if last.stage >= Stage.SPEECH and last.outcome in (Outcome.SILENT, Outcome.RESET):
        return (How.LATE, True) if any(outlasts(one, last) for one in others) else None
    greetings = [one for one in attempts if one.stage is Stage.GREETING]
    all_reset = greetings and all(one.outcome is Outcome.RESET for one in greetings)
    if all_reset and not any(one.greeted for one in attempts):
        return How.RESET, False
    return None


def _freezes(network: Sequence[PlaceSeen]) -> list[Finding]:
    frozen: list[Attempt] = []
    places: list[str] = []
    for place in network:
        mine = [one for one in place.attempts if one.frozen and not for_the_name(one, place)]
        if mine:
            places.append(place.id)
            frozen += mine
    if not frozen:
        return []
    carried = [one.carried for one in frozen if one.carried is not None]
    size = max((one.bytes for one in carried), default=0)
    packets = max((one.packets or 0 for one in carried), default=0)
    return [Finding(Kind.CURTAIN, len(frozen) > 1, None, tuple(places), size, packets)]


def _throttled(network: Sequence[PlaceSeen]) -> list[Finding]:
    places: list[str] = []
    rates: list[float] = []
    for place in network:
        named, others = _rates(place, Hello.NAMED), _rates(place, Hello.NAMELESS)
        if named and others and max(named) < SLOW and max(others) > SLOWER * max(named):
            places.append(place.id)
            rates.append(max(named))
    return [Finding(Kind.THROTTLE, places=tuple(places), rate=max(rates))] if places else []


def _rates(place: PlaceSeen, hello: Hello) -> list[float]:
    return [
        one.carried.rate
        for one in place.attempts
        if one.hello is hello and one.carried is not None and one.carried.rate is not None
    ]


def _strangers(network: Sequence[PlaceSeen]) -> list[Finding]:
    def those(outcome: Outcome) -> tuple[str, ...]:
        return tuple(
            place.id
            for place in network
            if not place.proved_at
            and not _is_forged(place)
            and any(one.outcome is outcome for one in place.attempts)
        )

    found = []
    if strangers := those(Outcome.STRANGER):
        kind = Kind.PORTAL if len(strangers) >= _SEVERAL else Kind.STRANGER
        found.append(Finding(kind, places=strangers))
    if expired := those(Outcome.EXPIRED):
        found.append(Finding(Kind.CLOCK, sure=len(expired) >= _SEVERAL, places=expired))
    return found


def _lost(network: Sequence[PlaceSeen], explained: set[str], alive: bool) -> list[Finding]:
    """Rule 10."""
    dead = [place for place in network if place.id not in explained and _is_dead(place)]
    blocked = [place for place in dead if place.by_way]
    # What is wrong with a drop is said by the drop itself.
    lost = [place for place in dead if place.is_relay and place not in blocked]
    findings = []
    if blocked:
        ids = tuple(place.id for place in blocked)
        findings.append(Finding(Kind.IP_BLOCK, True, _how_lost(blocked), ids))
    relays = [place for place in network if place.is_relay and place.straight]
    elsewhere = alive or any(_shows_life(place) for place in network if place not in lost)
    named = any(_looked(place) is Lookup.ANSWERED for place in lost)
    if lost:
        all_of_them = len(lost) == len(relays) >= _SEVERAL and (elsewhere or named)
        kind = Kind.IP_BLOCK if all_of_them else Kind.GONE
        findings.append(Finding(kind, False, _how_lost(lost), tuple(place.id for place in lost)))
    return findings


def _is_dead(place: PlaceSeen) -> bool:
    if place.proved_at or place.works is True or not place.straight:
        return False
    if not place.attempts:
        return _looked(place) is Lookup.NO_SUCH_NAME
    return all(
        not one.opened or (one.stage is Stage.GREETING and one.outcome is Outcome.SILENT)
        for one in place.attempts
    )


def _how_lost(places: Sequence[PlaceSeen]) -> How:
    attempts = [one for place in places for one in place.attempts]
    if any(one.opened for one in attempts):
        return How.MUTE
    if any(one.outcome in (Outcome.REFUSED, Outcome.RESET) for one in attempts):
        return How.REFUSED
    return How.SILENT


def _sides(seen: Observations) -> list[Finding]:
    """Rule 12."""
    checks = (
        (seen.passes_parallel, Kind.PARALLEL_BAN),
        (seen.passes_random, Kind.RANDOM_BLOCK),
        (seen.passes_any_protocol, Kind.PROTOCOL_FILTER),
        (seen.passes_quic, Kind.QUIC_BLOCK),
    )
    return [Finding(kind) for passes, kind in checks if passes is False]


def _not_tried(seen: Observations, findings: Sequence[Finding]) -> tuple[Kind, ...]:
    proved = any(place.is_relay and place.proved_at for place in seen.places)
    checks: tuple[tuple[Kind, bool], ...] = (
        (Kind.CURTAIN, _any(seen, lambda one: one.stage is Stage.CARRY)),
        (Kind.THROTTLE, _any(seen, lambda one: bool(one.carried and one.carried.rate))),
        (Kind.QUIC_BLOCK, seen.passes_quic is not None),
        (Kind.PROTOCOL_FILTER, seen.passes_any_protocol is not None),
        (Kind.RANDOM_BLOCK, seen.passes_random is not None),
        (Kind.PARALLEL_BAN, seen.passes_parallel is not None),
    )
    found = {finding.kind for finding in findings}
    if not proved or found & CUT_OFF:
        return ()
    return tuple(kind for kind, tried in checks if not tried and kind not in found)


def _any(seen: Observations, holds: Callable[[Attempt], bool]) -> bool:
    return any(holds(one) for place in seen.places for one in place.attempts)


def _looked(place: PlaceSeen) -> Lookup | None:
    return None if place.name is None else place.name.lookup


def _shows_life(place: PlaceSeen) -> bool:
    """Whether anything at all came back from there, or from whoever knows its name."""
    if place.answers:
        return True
    if _looked(place) in (Lookup.ANSWERED, Lookup.NO_SUCH_NAME):
        return True
    return any(
        one.opened or one.outcome not in (Outcome.SILENT, Outcome.NO_ROUTE)
        for one in place.attempts
    )

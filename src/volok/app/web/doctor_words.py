"""What the doctor found, in words: the same for the web app and, in English, for commands. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from volok.app.web.formats import size
from volok.app.web.i18n import Language
from volok.paths.doctor_report import CUT_OFF, Diagnosis, Finding, How, Kind, PlaceState, Way

Mood = Literal["good", "busy", "off", "none"]


@dataclass(frozen=True, slots=True)
class ToldPlace:
    """One relay or drop, in words."""

    name: str
    mood: Mood
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """All of it, in words."""

    verdict: str
    """What is blocked and what is open, in two or three sentences."""
    mood: Mood
    findings: tuple[tuple[str, str], ...]
    """What was found, the weightiest first: what happens, and what it means."""
    places: tuple[ToldPlace, ...]
    advice: tuple[tuple[str, str], ...]
    """What to try, the most promising first, each with the command that does it or nothing."""
    not_tried: str
    """What was not looked for; empty when nothing was left out."""


def told(diagnosis: Diagnosis, names: Mapping[str, str], language: Language) -> Told:
    """Put a diagnosis into words. `names` is what each place is called, by its id."""
    findings = tuple(
        (_headline(one, language), _meaning(one, names, language)) for one in diagnosis.findings
    )
    return Told(
        " ".join(
            [
                *dict.fromkeys(headline for headline, _ in findings),
                *([] if diagnosis.found(Kind.NOTHING_TO_ASK) else [_open(diagnosis, language)]),
            ]
        ),
        _mood(diagnosis),
        findings,
        tuple(_place(place, names, language) for place in diagnosis.places),
        _advice(diagnosis, language),
        _not_tried(diagnosis, language),
    )


def _mood(diagnosis: Diagnosis) -> Mood:
    if not diagnosis.open:
        return "none" if diagnosis.found(Kind.NOTHING_TO_ASK) else "off"
    return "good" if diagnosis.found(Kind.NOT_BLOCKED) else "busy"


def _headline(finding: Finding, language: Language) -> str:
    _ = language.gettext
    special = {
        (Kind.SNI_RST, How.LATE): _(
            "Connections that show a relay's name are cut off after a few packets."
        ),
        (Kind.SNI_RST, How.SILENT): _(
            "Connections that show a relay's name are dropped in silence."
        ),
        (Kind.DNS_POISON, How.DENIED): _("Names are not looked up here as they should be."),
    }
    if finding.how is not None and (text := special.get((finding.kind, finding.how))):
        return text
    unlike = _unlike(finding, language)
    if unlike:
        return unlike
    return {
        Kind.NOTHING_TO_ASK: _("You have no relay and no place for messages that could be asked."),
        Kind.OFFLINE: _("This computer is not connected to any network."),
        Kind.ISLAND: _("Nothing answers at all: no network leads out of this computer."),
        Kind.SHUTDOWN: _("Everything abroad is cut off; what is in the country still works."),
        Kind.WHITELIST: _("Only listed servers are let through here; all others are cut off."),
        Kind.DNS_POISON: _("Names are being forged here."),
        Kind.SNI_RST: _("Connections that show a relay's name are broken off."),
        Kind.CURTAIN: _("Connections stop in silence after a while."),
        Kind.IP_BLOCK: _("None of your relays answers: they are gone, or blocked by address."),
        Kind.GONE: language.ngettext(
            "This relay is gone, or blocked by address.",
            "These relays are gone, or blocked by address.",
            len(finding.places),
        ),
        Kind.PORTAL: _("Something else answers in place of your relays."),
        Kind.STRANGER: _("Something else answers in place of one of your relays."),
        Kind.CLOCK: _("A certificate is not valid today."),
        Kind.QUIC_BLOCK: _("QUIC is blocked here."),
        Kind.PROTOCOL_FILTER: _("Only web pages and names pass on the usual ports."),
        Kind.RANDOM_BLOCK: _("Connections that look fully encrypted are blocked here."),
        Kind.PARALLEL_BAN: _("Many connections at once are punished here."),
        Kind.DROP_FAILS: _("Not blocked, but a place for messages does not work."),
        Kind.NOT_BLOCKED: _("Not blocked."),
        Kind.UNCLEAR: _("Not everything works, and it is not clear why."),
    }[finding.kind]


def _unlike(finding: Finding, language: Language) -> str:
    """The headline of what holds figures or is more, or less, certain than usual; else nothing."""
    _ = language.gettext
    text = ""
    if finding.kind is Kind.IP_BLOCK and finding.sure:
        text = _("Addresses of relays are blocked here.")
    elif finding.kind is Kind.SHUTDOWN and not finding.sure:
        text = _("Nothing from abroad answers.")
    elif finding.kind is Kind.CURTAIN and finding.packets:
        text = _("Connections stop after about %(packets)s packets.")
    elif finding.kind is Kind.THROTTLE:
        text = _("Connections that show a relay's name are slowed down to %(rate)s a second.")
    return text % {"packets": finding.packets, "rate": size(round(finding.rate), language)}


def _meaning(finding: Finding, names: Mapping[str, str], language: Language) -> str:
    _ = language.gettext
    texts = {
        Kind.NOTHING_TO_ASK: _("Volok asks nobody but the relays and places that you added."),
        Kind.OFFLINE: _("Switch on the network, or carry messages by hand."),
        Kind.ISLAND: _("Neither a name server nor any of your relays and places answers."),
        Kind.SHUTDOWN: _("No relay and no name from abroad answers, but something else does.")
        if finding.sure
        else _(
            "Either every line abroad is cut, or only listed servers are let through. No"
            " address of your relays was known that could have told which."
        ),
        Kind.WHITELIST: _(
            "Connections to your relays open, but whatever is said first is dropped."
        ),
        Kind.DNS_POISON: _("The addresses that are given for these names are not theirs."),
        Kind.SNI_RST: _("Without the name, or with the name cut in pieces, others get through.")
        if finding.sure
        else _("Every greeting was broken off. A ban of some minutes looks the same."),
        Kind.CURTAIN: _(
            "About %(bytes)s pass in both directions together, then nothing more. Volok uses many"
            " short connections in turn, and gets through."
        )
        % {"bytes": size(finding.bytes, language)},
        Kind.THROTTLE: _("Without the name, the same relay is several times as fast."),
        Kind.IP_BLOCK: _("By another path the same relays answer, so they are there.")
        if finding.sure
        else _(
            "Other places answer, so the network works. That all relays vanish at the same time"
            " speaks for a block."
        ),
        Kind.GONE: _(
            "From here, nobody can tell a relay that was switched off or taken from one whose"
            " address is blocked."
        ),
        Kind.PORTAL: _(
            "A network that wants you to log in first does that; so does somebody who wants to"
            " listen. Nothing was sent to them."
        ),
        Kind.STRANGER: _("Its key is another one than in its address. Nothing was sent to it."),
        Kind.CLOCK: _("Is the clock of this computer right? If so, the relay has to renew it."),
        Kind.QUIC_BLOCK: _("Volok does not use it, so this costs you nothing."),
        Kind.PROTOCOL_FILTER: _("Relays by wss:// on port 443 pass; others may not."),
        Kind.RANDOM_BLOCK: _(
            "This concerns transports such as obfs4. The relay that was tried may not answer for"
            " three minutes."
        ),
        Kind.PARALLEL_BAN: _(
            "Volok never opens more than three at once. The relay that was tried may not answer"
            " by its name for two minutes."
        ),
        Kind.DROP_FAILS: "",
        Kind.NOT_BLOCKED: "",
        Kind.UNCLEAR: _("What was seen fits nothing that is known, or the time did not suffice."),
    }
    concerned = ", ".join(names.get(one, one) for one in finding.places)
    return f"{texts[finding.kind]} ({concerned})".lstrip() if concerned else texts[finding.kind]


def _open(diagnosis: Diagnosis, language: Language) -> str:
    """How many places can be reached."""
    _, _n = language.gettext, language.ngettext
    relays = [place for place in diagnosis.places if place.is_relay]
    drops = [place for place in diagnosis.places if not place.is_relay and place.open]
    sentences = []
    if relays:
        up = sum(place.open for place in relays)
        numbers = {"up": up, "total": len(relays)}
        sentences.append(
            _n(
                "%(up)s of %(total)s relay can be reached.",
                "%(up)s of %(total)s relays can be reached.",
                len(relays),
            )
            % numbers
        )
    if drops:
        sentences.append(
            _n(
                "%(count)s place for messages works.",
                "%(count)s places for messages work.",
                len(drops),
            )
            % {"count": len(drops)}
        )
    if not diagnosis.open:
        sentences.append(_("Nothing is open: messages wait here and can be carried by hand."))
    return " ".join(sentences)


def _place(place: PlaceState, names: Mapping[str, str], language: Language) -> ToldPlace:
    _ = language.gettext
    name = names.get(place.id, place.id)
    if not place.open:
        return ToldPlace(name, "off", _(place.problem) or _("Nothing leads there now."))
    if Way.FILES in place.ways:
        return ToldPlace(name, "good", _("Works."))
    texts = {
        Way.PLAIN: _("straight, as usual"),
        Way.CUT: _("with the greeting cut in pieces"),
        Way.NAMELESS: _("without its name"),
        Way.OTHER: _("under the name of another place of yours"),
        Way.KNOWN_ADDRESS: _("by its address, which was known"),
        Way.PATH: ", ".join(place.paths),
    }
    ways = "; ".join(texts[way] for way in place.ways if way in texts)
    text = _("Open: %(ways)s.") % {"ways": ways}
    if place.problem:
        text = f"{text} {_(place.problem)}"
    if place.short:
        text = " ".join((text, _("Only for short connections.")))
    plain = Way.PLAIN in place.ways and Way.KNOWN_ADDRESS not in place.ways
    return ToldPlace(name, "good" if plain and not place.short else "busy", text)


def _advice(diagnosis: Diagnosis, language: Language) -> tuple[tuple[str, str], ...]:
    _ = language.gettext
    found = {finding.kind for finding in diagnosis.findings}
    by_hand = (_("Carry messages by hand, on a stick or as light."), "volok export FILE")
    texts: dict[tuple[str, str], bool] = {
        (_("Add a relay, or accept an invite, which brings one."), "volok accept LINK"): (
            Kind.NOTHING_TO_ASK in found
        ),
        (_("Log in to this network: open any page in a browser. Then look again."), ""): (
            Kind.PORTAL in found
        ),
        (_("Set the clock of this computer."), ""): Kind.CLOCK in found,
        (
            _("Add a place in the country that a contact uses as well, such as a cloud folder."),
            "volok path add webdavs://HOST/FOLDER --user NAME --password-file FILE",
        ): bool(found & {Kind.SHUTDOWN, Kind.WHITELIST, Kind.IP_BLOCK})
        and not any(not place.is_relay and place.open for place in diagnosis.places),
        by_hand: bool(found & CUT_OFF) or not diagnosis.open,
        (
            _("Meet contacts in the same local network, which needs no internet."),
            "volok path add lan",
        ): bool(found & {Kind.OFFLINE, Kind.ISLAND, Kind.SHUTDOWN}),
        (_("Ask the operator of a relay for an address with a cover name that passes."), ""): (
            _names_pass(diagnosis)
        ),
        (_("Ask a contact for another relay."), ""): bool(
            found & {Kind.IP_BLOCK, Kind.GONE, Kind.STRANGER}
        ),
        (_("Add Tor or a proxy, which lead around the block."), "volok path add tor"): bool(
            found & {Kind.IP_BLOCK, Kind.GONE, Kind.DNS_POISON, Kind.SNI_RST}
        )
        and not any(place.paths for place in diagnosis.places),
        (_("Ask a contact for the address of a relay in figures."), ""): (
            Kind.DNS_POISON in found and not diagnosis.open
        ),
        (_("Nothing has to be set: Volok takes the open way by itself."), ""): bool(
            found & {Kind.SNI_RST, Kind.DNS_POISON, Kind.THROTTLE, Kind.CURTAIN}
        )
        and any(place.is_relay and place.open for place in diagnosis.places),
        (_("Look again in a minute or two."), "volok doctor"): Kind.UNCLEAR in found,
    }
    if Kind.NOTHING_TO_ASK in found:
        texts[by_hand] = False
    return tuple(text for text, fits in texts.items() if fits)


def _names_pass(diagnosis: Diagnosis) -> bool:
    finding = diagnosis.found(Kind.WHITELIST)
    return finding is not None and finding.how is How.NAMES


def _not_tried(diagnosis: Diagnosis, language: Language) -> str:
    _ = language.gettext
    names = {
        Kind.CURTAIN: _("whether connections stop after a while"),
        Kind.THROTTLE: _("whether connections are slowed down"),
        Kind.QUIC_BLOCK: _("QUIC, which Volok does not use"),
        Kind.PROTOCOL_FILTER: _("other protocols on the usual ports"),
        Kind.RANDOM_BLOCK: _("connections that look fully encrypted"),
        Kind.PARALLEL_BAN: _("many connections at once"),
    }
    left = [names[kind] for kind in diagnosis.not_tried]
    return _("Not looked at: %(what)s.") % {"what": ", ".join(left)} if left else ""

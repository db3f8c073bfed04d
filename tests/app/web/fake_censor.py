"""States of the fake node's ways, and what a doctor may see: for the pages about paths."""

from __future__ import annotations

from volok.app.lan import ABOUT, OBSERVER_LEARNS
from volok.app.path_making import SHAPES
from volok.app.web.paths_interface import WayRow
from volok.paths import tor, webdav
from volok.paths.doctor_seen import (
    Attempt,
    Carried,
    Hello,
    Lookup,
    NameSeen,
    Observations,
    Outcome,
    PlaceSeen,
    Stage,
)

from .fake_node import FakeNode

HARBOUR = "wss://relay.harbour.example/secret#AAAAAAAAAAAAAAAAAAAAAA"


def walk_out(node: FakeNode) -> None:
    """Ways of every kind."""
    straight = [
        WayRow(f"path:{name}", "straight", name, about, "", used=name == "direct-record")
        for name, about, _ in SHAPES
    ]
    node.out.listed = [
        *straight,
        WayRow(
            "path:tor",
            "added",
            "tor",
            "Tor, the one that runs here or one of its own",
            tor.CAPABILITIES.observer_learns,
            used=True,
            removable=True,
        ),
        WayRow(
            "path:at work",
            "added",
            "at work",
            "socks5://127.0.0.1:1080",
            "The proxy's owner sees your address, which relays you use, and when; the relays see "
            "the proxy's address.",
            relays=(HARBOUR,),
            only=True,
            removable=True,
        ),
        WayRow("lan:", "added", "lan", ABOUT, OBSERVER_LEARNS, removable=True),
        WayRow(
            "drop:1",
            "drop",
            "/media/stick",
            "",
            "Whoever can look into this folder sees that encrypted files lie there, how large they "
            "are and when they come and go.",
            files=3,
            bytes=49_152,
            removable=True,
        ),
        WayRow(
            "drop:2",
            "drop",
            "https://cloud.example/remote.php/dav/files/mira/shared-with-friends",
            "",
            webdav.OWNER_LEARNS,
            problem="There is no space left in this drop. Nothing was lost; what waits goes there"
            " later.",
            files=0,
            removable=True,
        ),
    ]


def relay(number: int, *attempts: Attempt, name: NameSeen | None = None) -> PlaceSeen:
    """A relay with what became of connections to it."""
    known = NameSeen(Lookup.ANSWERED, (address(number),))
    return PlaceSeen(f"relay{number}", True, name=name or known, attempts=attempts)


def address(number: int) -> str:
    return f"203.0.113.{10 + number}"


def attempt(
    number: int,
    hello: Hello,
    stage: Stage = Stage.CARRY,
    outcome: Outcome = Outcome.WORKS,
    packets: int = 160,
    rate: float | None = 300_000.0,
) -> Attempt:
    """One connection to a relay."""
    carried = Carried(packets * 700, packets, rate) if stage is Stage.CARRY else None
    return Attempt(address(number), hello, stage, outcome, carried)


def censor(node: FakeNode, free: bool = False) -> None:
    """What the doctor sees next: a censor who forges names and resets others, or none."""
    drop = PlaceSeen("drop:1", False, is_network=False, works=True)
    forged = NameSeen(Lookup.ANSWERED, ("10.10.34.34",))
    open_ = [attempt(1, hello) for hello in (Hello.NAMELESS, Hello.NAMED)]
    blocked = [
        attempt(2, Hello.NAMELESS),
        attempt(2, Hello.NAMED, Stage.GREETING, Outcome.RESET),
    ]
    places = (
        relay(1, *open_),
        relay(2, *(open_ if free else blocked)),
        *([] if free else [relay(3, name=forged)]),
        drop,
    )
    if free:
        places = (relay(1, *open_), drop)
    node.out.seen = Observations(places, name_server=True, passes_quic=free)
    node.out.names = {
        "relay1": "wss://relay.harbour.example",
        "relay2": "wss://open.example",
        "relay3": "wss://old-lighthouse.example",
        "drop:1": "/media/stick",
    }

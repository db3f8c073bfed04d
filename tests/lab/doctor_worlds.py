"""The doctor under every profile, in a real world; see test_doctor.py, which runs this in labs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from lab.services import dav, names, relay
from lab.world import World
from tests.lab.raw import Lab, seed_for

from lab import ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

INSIDE = Path(__file__).with_name("doctor_inside.py")
DROP = "https://drop.inside.example/"
QUICK = {
    "lookup_wait": 1.2,
    "answer_wait": 0.2,
    "connect_wait": 1.0,
    "greeting_wait": 1.2,
    "speech_wait": 1.5,
    "silence": 1.3,
    "spacing": 0.1,
}
"""Waits that suit cables of a millisecond."""
MOST_PROBING = 40.0
"""Seconds within which the prober has gone through its catalogue."""
SOON = 20.0
"""Seconds within which the resolver answers again."""
IN_THE_OPEN = ground.WEB_ABROAD
"""Where a relay stands that any probe finds."""
MOST = 30.0
"""Seconds that an examination may take, whatever is blocked."""


@dataclass(frozen=True)
class Case:
    """A profile, and what the doctor is to say of it."""

    profiles: tuple[str, ...]
    found: tuple[str, ...]
    """Findings, each the word of its kind and, after a blank, how."""
    wanted: dict[str, Any] = field(default_factory=dict)
    """How its parameters are to be drawn, where there is one profile."""
    sure: bool = True
    known: bool = True
    """Whether addresses of the relays were known from before."""
    thorough: bool = False
    lost: tuple[str, ...] = ()
    """Hosts that are gone."""
    ways: tuple[str, ...] | None = None
    """What leads to the first relay."""


OPEN = ("plain", "cut", "nameless")

CASES: dict[str, Case] = {
    "nothing": Case((), ("not-blocked",), ways=OPEN),
    "nothing-thorough": Case((), ("not-blocked",), thorough=True),
    "ech-block": Case(("ech-block",), ("not-blocked",)),
    "probe": Case(("probe",), ("not-blocked",)),
    "random-block-unasked": Case(("random-block",), ("not-blocked",)),
    "parallel-ban-unasked": Case(("parallel-ban",), ("not-blocked",)),
    "seizure": Case(("seizure",), ("gone silent",), sure=False, lost=("relay1",)),
    "outage": Case(("outage",), ("gone silent",), sure=False, lost=("relay1", "relay2")),
    "dns-poison": Case(("dns-poison",), ("dns-poison forged",), ways=("known-address", *OPEN)),
    "dns-poison-unknown": Case(("dns-poison",), ("dns-poison forged",), known=False),
    "ip-block-drop": Case(
        ("ip-block",), ("ip-block silent",), {"variant": "drop"}, sure=False, ways=()
    ),
    "ip-block-refuse": Case(
        ("ip-block",), ("ip-block refused",), {"variant": "refuse"}, sure=False
    ),
    "sni-rst-reset": Case(("sni-rst",), ("sni-rst reset",), {"variant": "reset", "residual": 90}),
    "sni-rst-drop": Case(("sni-rst",), ("sni-rst silent",), {"variant": "drop", "residual": 180}),
    "sni-rst-late": Case(("sni-rst",), ("sni-rst late",), {"variant": "late", "residual": 0}),
    "curtain-bytes": Case(("curtain",), ("curtain",), {"counts": "bytes"}),
    "curtain-packets": Case(("curtain",), ("curtain",), {"counts": "packets"}),
    "throttle": Case(("throttle",), ("throttle",)),
    "whitelist-names": Case(
        ("whitelist",),
        ("whitelist names",),
        {"list_of": "names"},
        ways=("known-address", "other"),
    ),
    "whitelist-both": Case(("whitelist",), ("whitelist",), {"list_of": "both"}),
    "whitelist-unknown": Case(("whitelist",), ("shutdown",), known=False, sure=False),
    "shutdown": Case(("shutdown",), ("shutdown",)),
    "island": Case(("island",), ("island",)),
    "quic-block": Case(("quic-block",), ("quic-block",), {"residual": 420}),
    "protocol-filter": Case(("protocol-filter",), ("protocol-filter",)),
    "parallel-ban": Case(("parallel-ban",), ("parallel-ban",), thorough=True),
    "random-block": Case(("random-block",), ("random-block",), thorough=True),
    "sni-rst+dns-poison": Case(("sni-rst", "dns-poison"), ("dns-poison", "sni-rst")),
    "sni-rst+curtain": Case(("sni-rst", "curtain"), ("sni-rst", "curtain")),
    "whitelist+probe": Case(("whitelist", "probe"), ("whitelist",)),
}
GROUP = os.environ.get("DOCTOR_CASES", "")
MINE = [name for name in CASES if not GROUP or name in GROUP.split(",")]


@dataclass
class Patient:
    """Somebody in the country who has the doctor look."""

    world: World
    process: Process
    known: dict[str, list[str]] = field(default_factory=dict)

    @property
    def relays(self) -> list[str]:
        """The three hidden ones."""
        return [self.world.relay_urls[host.name] for host in ground.RELAYS]

    async def clear(self) -> None:
        """End the block, and wait until the resolver has got over it: what it asked abroad in vain
        it does not ask again for a while."""
        await self.world.clear()
        async with asyncio.timeout(SOON):
            for host in ground.RELAYS:
                while not await Lab(self.world).ask(ground.RESOLVER, host.names[0], patience=0.3):
                    pass

    async def examine(
        self, thorough: bool, known: bool, relays: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Have a look; at other relays than the ordinary ones, if any are given."""
        order = {
            "relays": list(relays) or self.relays,
            "drops": [DROP],
            "known": self.known if known else {},
            "thorough": thorough,
            "settings": QUICK,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        found: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient() -> AsyncIterator[Patient]:
    open_relay = relay.Relay(IN_THE_OPEN, hidden=False)
    services = [*names.ordinary(), *relay.ordinary(), open_relay, dav.CloudFolder()]
    async with World.make(services) as world:
        command = [sys.executable, str(INSIDE)]
        process = await world.run("ana", command, stdin=PIPE, stdout=PIPE, limit=1 << 24)
        made = Patient(world, process)
        made.known = (await made.examine(False, known=False))["known"]
        assert set(made.known) == {
            *(name for host in ground.RELAYS for name in host.names),
            *ground.DROP_INSIDE.names,
        }
        yield made
        await process.communicate(b"")


@pytest.mark.parametrize("name", MINE)
async def test_the_doctor_says_what_is_blocked(patient: Patient, name: str) -> None:
    case = CASES[name]
    seed = seed_for(case.profiles[0], **case.wanted) if len(case.profiles) == 1 else 3
    await patient.world.censor(case.profiles, seed)
    try:
        for host in case.lost:
            await patient.world.unplug(host)
        found = await patient.examine(case.thorough, case.known)
    finally:
        for host in case.lost:
            await patient.world.plug(host)
        await patient.clear()
    said = found["seen"]
    kinds = [one.split()[0] for one in found["found"]]
    if len(case.profiles) > 1:
        assert sorted(kinds) == sorted(case.found), said
    else:
        assert tuple(found["found"]) == case.found, said
    assert all(found["sure"]) == case.sure, said
    assert found["took"] < MOST
    if case.ways is not None:
        assert tuple(found["ways"][0]) == case.ways, said
    if "curtain-packets" in name:
        assert 10 <= found["packets"] <= 27, said  # a busy machine merges acknowledgements
    if name == "throttle":
        assert 8_000 < found["rate"] < 20_000, said


ONCE = pytest.mark.skipif("nothing" not in MINE, reason="once is enough")
ALONE = ("test_the_command_says_it_all", "test_a_relay_that_a_probe_found_is_gone")


@ONCE
async def test_a_relay_that_a_probe_found_is_gone(patient: Patient) -> None:
    """It is blocked by its address, which from inside is like having been switched off."""
    world = patient.world
    relays = [*patient.relays, world.relay_urls[IN_THE_OPEN.name]]
    await world.censor(["probe"], seed_for("probe", delay_seconds=lambda seconds: seconds < 1))
    try:
        async with asyncio.timeout(MOST_PROBING):
            while "not-blocked" in (found := await patient.examine(False, True, relays))["found"]:
                pass  # the prober is still at work
    finally:
        await patient.clear()
    assert found["found"] == ["gone silent"], found["seen"]
    assert [bool(ways) for ways in found["ways"]] == [True, True, True, False, True], found["seen"]


@ONCE
async def test_the_command_says_it_all(patient: Patient) -> None:
    """`volok doctor` itself, with a home of its own: before a block, by which it learns addresses,
    and under one."""
    world = patient.world
    volok = (sys.executable, "-m", "volok", "--home", str(world.folder / "examined"))
    urls = [part for url in patient.relays for part in ("--relay", url)]
    await world.done("ana", [*volok, "init", "--name", "Ana", "--no-passphrase", *urls])
    before = json.loads((await world.done("ana", [*volok, "doctor", "--json"])).splitlines()[-1])
    assert [one["kind"] for one in before["findings"]] == ["not-blocked"], before
    await world.censor(["sni-rst", "dns-poison"], seed_for("sni-rst", variant="reset"))
    try:
        lines = (await world.done("ana", [*volok, "doctor", "--json"])).splitlines()
    finally:
        await patient.clear()
    assert "progress" in json.loads(lines[0])
    result = json.loads(lines[-1])
    assert {one["kind"] for one in result["findings"]} == {"dns-poison", "sni-rst"}, result
    assert result["open"]
    assert all("known-address" in place["ways"] for place in result["places"])
    assert result["verdict"].startswith("Names are being forged here.")

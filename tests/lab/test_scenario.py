"""The run: what is sent when, and what is made of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.observer import Observation
from lab.outcome import Sent, measure
from lab.photo import photo
from lab.services import catalogue
from lab.systems import PEOPLE, Arrival, Bench, SystemFailed

from lab import censor, enter, scenario

TINY = scenario.Settings(
    texts=5, interval=0.01, group=3, picture=10, deadline=0.3, linger=0.0, look=0.01
)
OTHER = {"ana": "clara", "clara": "ana"}


class Ground:
    """A world that notes what was done to it. The real one is used in test_world.py."""

    folder = Path()
    relays: Sequence[str] = ()

    def __init__(self) -> None:
        self.done: list[Any] = []

    async def run(self, host: str, argv: Sequence[str], **streams: Any) -> Any:
        self.done.append((host, argv[0]))
        return await asyncio.create_subprocess_exec("true", **streams)

    async def censor(self, profiles: Sequence[str], seed: int) -> None:
        self.done.append((tuple(profiles), seed))

    async def unplug(self, host: str) -> None:
        self.done.append(host)

    async def report(self) -> Observation:
        return Observation(packets=len(self.done))


class Post:
    """A system that keeps texts in memory; `faults` says what it does wrong."""

    name = "post"
    sends_pictures = True
    uses_relays = True
    uses_mail = False

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        self.boxes: dict[str, list[Arrival]] = {person: [] for person in PEOPLE}
        self.seen: dict[str, list[float]] = {person: [] for person in PEOPLE}

    async def setup(self, world: Bench) -> None:
        if "setup" in self.faults:
            raise SystemFailed("there is no post today")
        if "slow" in self.faults:
            await asyncio.Event().wait()

    async def send(self, sender: str, receiver: str, text: str) -> None:
        if "refuses" in self.faults and "kept" in text:
            raise SystemFailed("full")
        if "loses" in self.faults and text.startswith("4."):
            return
        arrival = Arrival(text, time.monotonic())
        self.boxes[receiver] += [arrival] * (2 if "repeats" in self.faults else 1)

    async def received(self, person: str) -> list[Arrival]:
        return list(self.boxes[person])

    async def send_picture(self, sender: str, receiver: str, data: bytes) -> None:
        if "no picture" not in self.faults:
            self.seen[receiver].append(time.monotonic())

    async def pictures(self, person: str) -> list[float]:
        return self.seen[person]

    async def paths(self) -> list[str]:
        return ["memory"]

    async def close(self) -> None:
        """Nothing to stop."""


async def conducted(
    system: Post, combination: str = "none", settings: scenario.Settings = TINY
) -> tuple[scenario.Outcome, Ground]:
    world = Ground()
    outcome = await scenario.conduct(
        world, system, combination, 7, settings, b"picture", time.monotonic
    )
    return outcome, world


async def test_everything_arrives():
    outcome, world = await conducted(Post())
    assert outcome.all_delivered
    assert outcome.measured.sent == 2 * TINY.texts + TINY.group
    assert outcome.picture == "delivered"
    assert outcome.paths == ("memory",)
    assert outcome.measured.first_after is None
    assert world.done == []


async def test_the_profile_is_switched_on_in_mid_conversation():
    outcome, world = await conducted(Post(), "curtain")
    assert world.done == [(("curtain",), 7), ("ana", "ss"), ("boris", "ss")]
    assert outcome.measured.first_after is not None
    assert outcome.seen.packets == 3
    assert outcome.parameters["curtain"] == censor.make("curtain", censor.Ground(), 7)[1]


async def test_without_dropping_connections():
    _, world = await conducted(Post(), "curtain", replace(TINY, redial=False))
    assert world.done == [(("curtain",), 7)]


async def test_relays_vanish_where_the_profile_says_so():
    _, world = await conducted(Post(), "outage")
    assert world.done[:3] == [(("outage",), 7), "relay1", "relay2"]


@pytest.mark.parametrize("profile", ["outage", "seizure", "curtain"])
async def test_what_uses_no_relay_loses_nothing_with_the_relays(profile):
    post = Post()
    assert not (await conducted(post, profile))[0].unharmed
    post.uses_relays = False
    assert (await conducted(post, profile))[0].unharmed is (profile != "curtain")


async def test_nobody_leaves_during_a_shutdown():
    post = Post()
    await conducted(post, "shutdown")
    assert post.boxes["boris"]
    assert not post.boxes["clara"]


@pytest.mark.parametrize(
    ("fault", "field", "value"),
    [("loses", "delivered", 11), ("repeats", "twice", 13), ("refuses", "delivered", 10)],
)
async def test_faults_are_found(fault, field, value):
    outcome, _ = await conducted(Post(fault))
    assert getattr(outcome.measured, field) == value
    assert not outcome.all_delivered


async def test_a_lost_picture():
    outcome, _ = await conducted(Post("no picture"))
    assert outcome.picture == "lost"
    assert not outcome.all_delivered


async def test_a_system_without_pictures_is_not_blamed():
    post = Post()
    post.sends_pictures = False
    outcome, _ = await conducted(post)
    assert outcome.picture == "-"
    assert outcome.all_delivered


@pytest.mark.parametrize("fault", ["setup", "slow"])
async def test_a_system_that_cannot_be_set_up(fault):
    outcome, _ = await conducted(Post(fault), settings=replace(TINY, patience=0.05))
    assert outcome.problem is not None
    assert outcome.problem.startswith("It could not be set up")
    assert not outcome.all_delivered


async def test_an_outcome_survives_json():
    outcome, _ = await conducted(Post("loses"), "sni-rst+curtain")
    assert scenario.Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


def test_an_unknown_profile():
    with pytest.raises(censor.UnknownProfile):
        scenario.members("sni-rst+nosuch")


def test_every_combination_can_be_run():
    assert set(scenario.COMBINATIONS) <= set(scenario.everything())
    for name in scenario.everything():
        assert scenario.members(name)


def test_a_picture_has_the_size_asked_for():
    assert photo(0, 1) == b""
    assert 30_000 <= len(photo(30_000, 1)) < 60_000
    assert photo(30_000, 1)[:2] == b"\xff\xd8"


def sent(count: int) -> list[Sent]:
    return [Sent("ana", "clara", str(number), float(number)) for number in range(count)]


@given(st.integers(0, 30), st.randoms(use_true_random=False))
def test_any_order_is_whole_but_not_faultless(count: int, rng: Random):
    given_over = sent(count)
    order = list(given_over)
    rng.shuffle(order)
    arrived = {"clara": [Arrival(one.text, 100.0) for one in order]}
    measured = measure(given_over, arrived, None)
    assert measured.delivered == count
    assert measured.twice == measured.strange == 0
    assert measured.faultless == (order == given_over)


@given(st.lists(st.integers(0, 9), max_size=40))
def test_repeats_and_losses_add_up(numbers: list[int]):
    arrived = {"clara": [Arrival(str(number), 100.0) for number in numbers]}
    measured = measure(sent(10), arrived, None)
    assert measured.delivered == len(set(numbers))
    assert measured.twice == len(numbers) - len(set(numbers))


def test_what_was_sent_to_somebody_else_is_strange():
    measured = measure(sent(1), {"boris": [Arrival("0", 1.0)]}, None)
    assert (measured.delivered, measured.strange) == (0, 1)


def test_the_first_delivery_after_the_block_is_that_of_the_slower_way():
    both = [Sent("ana", "clara", "a", 9.0), Sent("ana", "clara", "b", 10.0)]
    both.append(Sent("clara", "ana", "c", 10.5))
    arrived = {"clara": [Arrival("b", 11.0), Arrival("a", 20.0)], "ana": [Arrival("c", 14.0)]}
    measured = measure(both, arrived, 10.0)
    assert measured.first_after == 4.0
    assert measured.misplaced == 1
    assert measured.worst == 11.0
    assert measure(both, {"clara": arrived["clara"]}, 10.0).first_after is None


def test_the_median_after_the_block_counts_what_never_came():
    early = [Sent("ana", "clara", "before", 9.0)]
    late = [Sent("ana", "clara", str(number), 10.0 + number) for number in range(3)]
    arrived = [Arrival("before", 9.5), Arrival("0", 11.0), Arrival("1", 15.0)]
    assert measure(early + late, {"clara": arrived}, 10.0).median_after == 4.0
    assert measure(early + late, {"clara": arrived[:2]}, 10.0).median_after is None
    assert measure(early + late, {"clara": arrived}, None).median_after is None


async def test_how_late_the_machine_is_is_told():
    outcome, _ = await conducted(Post())
    assert 0 <= outcome.late < 10


def test_a_real_run():
    """Without a censor every text arrives, here by a plain client. The real program in real
    namespaces; `test_every_profile` does the same with Volok."""
    if obstacle := enter.obstacle():
        pytest.skip(obstacle)
    if missing := catalogue.missing():
        pytest.skip(f"The lab needs these Debian packages: {', '.join(missing)}.")
    size = ("--messages", "2", "--short", "--seed", "1")
    command = [
        sys.executable,
        "-m",
        "lab",
        "run",
        "none",
        "--system",
        "nostr-client",
        *size,
        "--json",
    ]
    made = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env=enter.environment()
    )
    (outcome,) = json.loads(made.stdout)["outcomes"]
    measured = outcome["measured"]
    assert measured["sent"] == measured["delivered"] == 2 * 2 + scenario.SHORT.group, made.stderr
    assert measured["twice"] == measured["strange"] == 0
    assert "relay1.example" in outcome["seen"]["names"]
    # This client writes what is queued at once in no order of its own.
    faultless = not measured["misplaced"]
    assert outcome["all_delivered"] is faultless
    assert made.returncode == (0 if faultless else 1)
    assert f"{int(faultless)} of 1 profiles: all delivered" in made.stderr

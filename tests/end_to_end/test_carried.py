"""Conversations carried by hand, by the commands that people use."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.app.conftest import Home, Json

MAP = random.Random(300).randbytes(300_000)


@pytest.fixture
def person(new_home: Callable[[str], Home]) -> Callable[..., Home]:
    """Makes people without any relay, or with one."""

    def make(name: str, *relays: str) -> Home:
        home = new_home(name)
        urls = [part for url in relays for part in ("--relay", url)]
        home.ok("init", "--name", name, "--no-passphrase", *urls)
        return home

    return make


@pytest.fixture
def carry(tmp_path: Path) -> Callable[..., Json]:
    """Carries what waits from one to the other; returns what the import said."""
    count = 0

    def carry(sender: Home, receiver: Home, *options: str) -> Json:
        nonlocal count
        count += 1
        bundle = tmp_path / f"{count}.bundle"
        sender.ok("export", bundle, *options)
        return receiver.ok("import", bundle, "--json").one

    return carry


def meet(inviter: Home, guest: Home, carry: Callable[..., Json], folder: Path) -> None:
    """Two people become contacts by files alone."""
    invite = folder / f"{guest.root.name}.volok"
    inviter.ok("invite", "--file", invite)
    guest.ok("accept", invite)
    carry(guest, inviter)
    carry(inviter, guest, "--for", guest.root.name)


def talk(home: Home, who: str, *options: Any) -> list[Json]:
    """A conversation, oldest first."""
    return home.ok("read", who, "--json", *options).lines


def texts(home: Home, who: str) -> list[str]:
    """Its texts."""
    return [message["text"] for message in talk(home, who)]


def states(home: Home, who: str) -> list[str]:
    """How far our own messages have come."""
    return [message["state"] for message in talk(home, who) if message["from"] == "me"]


def refusal(home: Home, *arguments: Any) -> str:
    """The one sentence that a command ends with."""
    result = home(*arguments)
    assert (result.code, result.out) == (1, "")
    (line,) = result.err.splitlines()
    return line


def test_two_people_without_any_network(
    person: Callable[..., Home], carry: Callable[..., Json], tmp_path: Path
) -> None:
    ana, bo = person("Ana"), person("Bo")
    ana.ok("invite", "--file", tmp_path / "for-bo.volok")
    assert bo.ok("accept", tmp_path / "for-bo.volok", "--json").one["name"] == "Ana"
    bo.ok("send", "Ana", "Is the bridge open?")
    carry(bo, ana)
    assert texts(ana, "Bo") == ["Is the bridge open?"]
    assert states(bo, "Ana") == ["queued"]

    (tmp_path / "map.bin").write_bytes(MAP)
    ana.ok("send", "Bo", "No. Take the portage:", "--file", tmp_path / "map.bin")
    ana.ok("send", "Bo", "и возьми верёвку")
    assert carry(ana, bo)["blobs"] == 1
    assert states(bo, "Ana") == ["read"]
    came = talk(bo, "Ana", "--save", tmp_path / "saved")
    assert [m["text"] for m in came] == [
        "Is the bridge open?",
        "No. Take the portage:",
        "и возьми верёвку",
    ]
    (file,) = came[1]["files"]
    assert (file["name"], file["state"]) == ("map.bin", "ready")
    assert Path(file["path"]).read_bytes() == MAP

    bo.ok("send", "Ana", "Thank you")
    carry(bo, ana)
    assert states(ana, "Bo") == ["read", "read"]
    assert texts(ana, "Bo")[-1] == "Thank you"
    carry(ana, bo)
    assert states(bo, "Ana") == ["read", "read"]
    for home in (ana, bo):
        assert home.ok("contacts", "--json").one["state"] == "active"
        status = home.ok("status", "--json").one
        assert (status["relays"], status["waiting"]) == ([], 0)


def test_one_sealed_part_for_each_contact(
    person: Callable[..., Home], carry: Callable[..., Json], tmp_path: Path
) -> None:
    ana = person("Ana")
    others = [person(name) for name in ("Bo", "Cy", "Di")]
    for number, other in enumerate(others):
        meet(ana, other, carry, tmp_path)
        picture = tmp_path / f"{number}.bin"
        picture.write_bytes(MAP[number * 1000 : number * 1000 + 20_000])
        name = other.root.name
        ana.ok("send", name, f"only for {name}", "--file", picture)

    bundle = tmp_path / "for-all.bundle"
    report = ana.ok("export", bundle, "--json").one
    assert (report["contacts"], report["blobs"]) == (3, 3)
    for number, other in enumerate(others):
        assert other.ok("import", bundle, "--json").one["blobs"] == 1
        (message,) = talk(other, "Ana", "--save", tmp_path / f"saved-{number}")
        assert message["text"] == f"only for {other.root.name}"
        saved = Path(message["files"][0]["path"]).read_bytes()
        assert saved == (tmp_path / f"{number}.bin").read_bytes()
    stranger = person("Eve")
    assert "made for somebody else" in refusal(stranger, "import", bundle)
    assert "Nothing waits" in refusal(stranger, "export", tmp_path / "empty.bundle")

    # What is made for one is nothing to the next.
    ana.ok("send", "Bo", "for Bo again")
    ana.ok("export", tmp_path / "for-bo.bundle", "--for", "Bo")
    assert "made for somebody else" in refusal(others[1], "import", tmp_path / "for-bo.bundle")
    others[0].ok("import", tmp_path / "for-bo.bundle")
    assert texts(others[0], "Ana") == ["only for Bo", "for Bo again"]
    assert texts(others[1], "Ana") == ["only for Cy"]


def test_damage_and_repetition_lose_and_double_nothing(
    person: Callable[..., Home], carry: Callable[..., Json], tmp_path: Path
) -> None:
    ana, bo = person("Ana"), person("Bo")
    meet(ana, bo, carry, tmp_path)
    (tmp_path / "map.bin").write_bytes(MAP)
    ana.ok("send", "Bo", "first", "--file", tmp_path / "map.bin")
    first, second = tmp_path / "first.bundle", tmp_path / "second.bundle"
    ana.ok("export", first)
    whole = first.read_bytes()

    broken = tmp_path / "broken.bundle"
    altered = bytearray(whole)
    altered[len(whole) // 2] ^= 1
    for data in (whole[: len(whole) // 2], bytes(altered), whole[100:]):
        broken.write_bytes(data)
        sentence = refusal(bo, "import", broken)
        assert "damaged or cut" in sentence or "not a Volok bundle" in sentence
        assert sentence.endswith(".")
    # What stands before a damaged place may have come in already; what counts is the end.
    bo.ok("import", first)
    (message,) = talk(bo, "Ana", "--save", tmp_path / "saved")
    assert Path(message["files"][0]["path"]).read_bytes() == MAP
    again = bo.ok("import", first, "--json").one
    assert (again["events"], again["blobs"]) == (0, 0)

    # Without a receipt everything goes into the next bundle again, and an old one may come late.
    ana.ok("send", "Bo", "second")
    ana.ok("export", second)
    bo.ok("import", second)
    bo.ok("import", first)
    bo.ok("import", second)
    assert texts(bo, "Ana") == ["first", "second"]
    carry(bo, ana)
    assert states(ana, "Bo") == ["read", "read"]


@pytest.mark.parametrize("first", ["by hand", "by relay"])
def test_by_hand_and_by_relay_shows_once(
    person: Callable[..., Home],
    carry: Callable[..., Json],
    relay: str,
    tmp_path: Path,
    first: str,
) -> None:
    ana, bo = person("Ana", relay), person("Bo")
    bo.ok("accept", ana.ok("invite").out.strip())
    ana.ok("sync")
    bo.ok("sync")
    (tmp_path / "map.bin").write_bytes(MAP)
    ana.ok("send", "Bo", "both ways", "--file", tmp_path / "map.bin")
    bundle = tmp_path / "bundle"
    ana.ok("export", bundle)
    ana.ok("sync")
    ways = [lambda: bo.ok("import", bundle), lambda: bo.ok("sync")]
    for way in ways if first == "by hand" else reversed(ways):
        way()
        (message,) = talk(bo, "Ana", "--save", tmp_path / "saved")
        assert (message["text"], message["files"][0]["state"]) == ("both ways", "ready")
        assert Path(message["files"][0]["path"]).read_bytes() == MAP
    bo.ok("send", "Ana", "came once")
    bo.ok("sync")
    ana.ok("sync")
    assert states(ana, "Bo") == ["read"]
    assert texts(ana, "Bo") == ["both ways", "came once"]
    bo.ok("sync")
    assert bo.ok("status", "--json").one["waiting"] == 0

"""What a person reads after a run."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from io import StringIO

import pytest
from lab.observer import Observation
from lab.outcome import Measured, Outcome
from rich.console import Console

from lab import __main__ as program
from lab import censor, picture, report

SVG = "{http://www.w3.org/2000/svg}"
GOOD = Measured(
    sent=220,
    delivered=220,
    twice=0,
    strange=0,
    misplaced=0,
    median=0.21,
    worst=12.4,
    first_after=3.0,
    median_after=0.4,
)
BAD = replace(GOOD, delivered=219, twice=2, misplaced=1, median=0.5)
NONE = replace(
    GOOD, sent=0, delivered=0, median=None, worst=None, first_after=None, median_after=None
)


def outcome(profile: str, measured: Measured = GOOD, **changes: object) -> Outcome:
    made = Outcome(
        profile=profile,
        system="volok",
        seed=7,
        parameters={},
        measured=measured,
        picture="delivered",
        picture_seconds=1.5,
        paths=("direct",),
        seen=Observation(frozenset({"203.0.113.11"}), frozenset(), frozenset(), 999, 5_000_000, 3),
        seconds=60.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


THREE = [
    outcome("curtain"),
    outcome("sni-rst+curtain", BAD, picture="lost", picture_seconds=None),
    outcome("curtain", system="nostr-client", picture="-", picture_seconds=None),
]


def test_a_line_for_each_profile_and_the_total():
    first, second, total = report.lines(THREE, "volok")
    assert first == (
        "curtain: all delivered (220 of 220 texts, picture), "
        "median 0.21 s, worst 12 s; after the block: first 3.00 s, median 0.40 s"
    )
    assert "219 of 220 texts delivered (2 twice, 1 out of order, picture lost)" in second
    assert total == "1 of 2 profiles: all delivered"


def test_a_problem_is_said():
    failed = outcome("probe", NONE, problem="It could not be set up in time.")
    assert report.line(failed) == "probe: 0 of 0 texts. It could not be set up in time."
    assert not failed.all_delivered


def test_the_table_holds_everything():
    console = Console(width=program.WIDTH, record=True, file=StringIO())
    console.print(report.table(THREE))
    text = console.export_text()
    for cell in ("sni-rst+curtain", "nostr-client", "219/220", "1 late", "5.0 MB", "999 B", "lost"):
        assert cell in text


def test_what_lost_nothing_is_marked_in_table_and_picture():
    foreign = outcome("seizure", system="matrix", unharmed=True)
    console = Console(width=program.WIDTH, record=True, file=StringIO())
    console.print(report.table([*THREE, foreign]))
    text = console.export_text()
    assert "matrix*" in text
    assert "uses no relay" in text
    drawn = picture.draw([*THREE, foreign])
    assert "100%*" in drawn
    assert report.UNHARMED in drawn
    assert report.UNHARMED not in picture.draw(THREE)


def test_results_survive_the_file():
    assert report.load(report.dump(THREE, 7)) == THREE


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"outcomes": [{}]}', '{"outcomes": 3}'])
def test_a_file_that_holds_something_else(text):
    with pytest.raises(report.NotResults):
        report.load(text)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0.00 s"), (9.99, "9.99 s"), (61.2, "61 s")]
)
def test_durations(value, text):
    assert report.seconds(value) == text


def test_the_picture_is_wellformed_and_says_what_it_shows():
    root = ElementTree.fromstring(picture.draw(THREE))
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert "sni-rst+curtain: volok 99%, no picture 0.50 s" in (description.text or "")
    shown = [text.text for text in root.iter(f"{SVG}text")]
    for word in ("curtain", "volok", "nostr-client", "100%", "not run"):
        assert word in shown


def test_nothing_in_the_picture_lies_outside_of_it():
    root = ElementTree.fromstring(picture.draw(THREE))
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for box in root.iter(f"{SVG}rect"):
        left, top = float(box.get("x", 0)), float(box.get("y", 0))
        assert left + float(box.get("width", 0)) <= width
        assert top + float(box.get("height", 0)) <= height
    for text in root.iter(f"{SVG}text"):
        assert float(text.get("y", 0)) <= height


def test_names_in_the_picture_are_escaped():
    root = ElementTree.fromstring(picture.draw([outcome("<&>")]))
    assert "<&>" in [text.text for text in root.iter(f"{SVG}text")]


def test_the_list_names_every_profile(capsys):
    assert program.main(["list"]) == 0
    printed = capsys.readouterr().out
    for name in (*censor.names(), "sni-rst+curtain", "nostr-client"):
        assert name in printed


def test_the_picture_command(tmp_path):
    results, drawn = tmp_path / "results.json", tmp_path / "picture.svg"
    results.write_text(report.dump(THREE, 7))
    assert program.main(["picture", str(results), str(drawn)]) == 0
    assert drawn.read_text() == picture.draw(THREE)


def test_an_unknown_profile_is_an_error_in_a_sentence(capsys):
    assert program.main(["run", "nosuch"]) == 2
    assert "There is no profile nosuch." in capsys.readouterr().err


def test_a_file_that_is_not_there(tmp_path, capsys):
    assert program.main(["picture", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert "none" in capsys.readouterr().err

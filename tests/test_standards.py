"""The README's table of standards: each row names a test that names the standard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from volok.relay.information import supported_nips
from volok.relay.settings import RelaySettings

ROOT = Path(__file__).parents[1]
ROW = re.compile(
    r"^\| ((?:NIP|BUD)-[0-9A-F]{2}) \| [^|]+ \| \[[^]]+\]\(([^)]+)\) \|$", re.MULTILINE
)
TABLE = ROW.findall((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("standard", "path"), TABLE)
def test_a_row_names_a_test_that_names_the_standard(standard: str, path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert Path(path).parts[0] == "tests"
    assert standard in text
    assert re.search(r"^(async )?def test_", text, re.MULTILINE)


def test_what_a_relay_says_it_serves_stands_in_the_table() -> None:
    served = supported_nips(RelaySettings(admins=("ab" * 32,)))
    named = [standard for standard, _ in TABLE]
    assert {f"NIP-{number:02}" for number in served} <= set(named)
    assert len(named) == len(set(named))


def test_every_nip_of_the_relay_has_its_test() -> None:
    for path in (ROOT / "tests" / "relay" / "nips").glob("test_nip_*.py"):
        number = int(path.stem.removeprefix("test_nip_"))
        assert (f"NIP-{number:02}", str(path.relative_to(ROOT))) in TABLE
        assert re.search(rf"def test_nip_{number:02}_", path.read_text(encoding="utf-8"))

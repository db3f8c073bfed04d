"""The seed corpus of every fuzz target, replayed without the fuzzer."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "fuzz"
SEEDS = sorted(path for path in (FUZZ / "corpus").glob("*/*") if path.is_file())

_spec = importlib.util.spec_from_file_location("fuzz_targets", FUZZ / "targets.py")
assert _spec is not None
assert _spec.loader is not None
targets = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(targets)


def test_every_target_has_seeds() -> None:
    assert {path.parent.name for path in SEEDS} == set(targets.TARGETS)


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_seed(path: Path) -> None:
    data = path.read_bytes()
    target = targets.TARGETS[path.parent.name]
    target(data)
    for length in range(0, len(data), max(1, len(data) // 20)):
        target(data[:length])

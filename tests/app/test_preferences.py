from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volok.app.preferences import (
    InvalidPreference,
    load_preferences,
    save_preferences,
    with_value,
)
from volok.app.web.interface import Preferences


def test_they_come_back(tmp_path: Path) -> None:
    path = tmp_path / "preferences.json"
    chosen = Preferences(language="ru", auto_lock_minutes=5, notifications=True)
    save_preferences(path, chosen)
    assert load_preferences(path) == chosen


@pytest.mark.parametrize(
    ("name", "value"),
    [("language", 1), ("auto_lock_minutes", -1), ("auto_lock_minutes", True), ("colour", "red")],
)
def test_what_cannot_be_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidPreference):
        with_value(Preferences(), name, value)


@given(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode()))
def test_whatever_lies_there_gives_preferences(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "preferences.json"
    path.write_bytes(content)
    assert isinstance(load_preferences(path), Preferences)


def test_one_damaged_value_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "preferences.json"
    path.write_text('{"language": "ru", "auto_lock_minutes": "soon", "notifications": true}')
    assert load_preferences(path) == Preferences(language="ru", notifications=True)

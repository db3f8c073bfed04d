"""Preferences, kept beside the vault because they must be known while it is locked. They name
nobody."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

from volok.app.web.interface import Preferences
from volok.store.secure_files import write_private

LONGEST_AUTO_LOCK = 24 * 60
"""Minutes."""


class InvalidPreference(ValueError):
    """This setting does not exist, or cannot have this value."""


def with_value(preferences: Preferences, name: str, value: object) -> Preferences:
    """A copy with one value changed. Raises InvalidPreference."""
    values = asdict(preferences)
    if name not in values or type(value) is not type(values[name]):
        raise InvalidPreference(InvalidPreference.__doc__)
    changed = Preferences(**{**values, name: value})
    if not 0 <= changed.auto_lock_minutes <= LONGEST_AUTO_LOCK or len(changed.language) > 16:
        raise InvalidPreference(InvalidPreference.__doc__)
    return changed


def load_preferences(path: Path) -> Preferences:
    """Read them; what is missing or damaged falls back to its default."""
    preferences = Preferences()
    try:
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return preferences
    for field in fields(Preferences):
        try:
            preferences = with_value(preferences, field.name, stored[field.name])
        except (InvalidPreference, KeyError, TypeError):
            continue
    return preferences


def save_preferences(path: Path, preferences: Preferences) -> None:
    """Replace them in one step, readable by the owner alone. Raises OSError."""
    write_private(path, json.dumps(asdict(preferences)).encode())

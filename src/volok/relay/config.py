"""The configuration file of a relay, in TOML (1.0). Pure: text in, settings out.

1. `[serve]` holds the fields of `ServeSettings`, `[relay]` those of `RelaySettings`. The default
   file is written from the classes, so the two cannot differ.
2. A key that is not known, or a value of another type, is an error that says what was meant.
3. Command-line options win over the file, the file over the defaults.
"""

from __future__ import annotations

import difflib
import json
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

from volok.relay.described import DescribedField, described
from volok.relay.errors import RelayError
from volok.relay.serve_settings import ServeSettings
from volok.relay.settings import RelaySettings

T = TypeVar("T")

_SECTIONS: Mapping[str, type] = {"serve": ServeSettings, "relay": RelaySettings}
_ELSEWHERE = {"relay": frozenset({"secret_path", "forwarded_addresses"})}
"""Fields that `ServeSettings` decides: by `secret_path` and `behind_proxy`."""
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}

_HEAD = """\
# The settings of `volok relay --config FILE`. Every line that is commented out shows a default.
# An option on the command line wins over this file.
"""


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """What a configuration file says: values by field, only those that it names."""

    serve: Mapping[str, Any]
    relay: Mapping[str, Any]


def parse_config(text: str) -> RelayConfig:
    """Read a configuration file. Raises RelayError."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RelayError(f"The configuration file is not TOML: {error}.") from error
    for name, section in document.items():
        if name not in _SECTIONS:
            raise RelayError(_unknown(f"[{name}]", name, _SECTIONS, "[{}]"))
        if not isinstance(section, dict):
            raise RelayError(f"In the configuration file, {name} has to be a section: [{name}].")
    return RelayConfig(*(_section(name, document.get(name, {})) for name in ("serve", "relay")))


def read_config(path: Path) -> RelayConfig:
    """Read a configuration file. Raises RelayError."""
    try:
        return parse_config(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RelayError(
            f"The configuration file {path} cannot be read. "
            "Write one with: volok relay config > relay.toml"
        ) from error


def default_config() -> str:
    """A configuration file with every setting, its meaning and its default, all commented out."""
    lines = [_HEAD]
    for section in _SECTIONS:
        lines.append(f"[{section}]\n")
        for field in _fields(section).values():
            lines += textwrap.wrap(field.meaning, 98, initial_indent="# ", subsequent_indent="# ")
            lines.append(f"#{field.name} = {_toml(_default(field))}\n")
    return "\n".join(lines)


def _section(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    known = _fields(section)
    result = {}
    for key, value in values.items():
        if key not in known:
            raise RelayError(_unknown(f"{key} in [{section}]", key, known, "{}"))
        result[key] = _value(section, known[key], value)
    return result


def _fields(section: str) -> dict[str, DescribedField]:
    hidden = _ELSEWHERE.get(section, frozenset())
    return {one.name: one for one in described(_SECTIONS[section]) if one.name not in hidden}


def _unknown(what: str, key: str, known: Mapping[str, Any], form: str) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f" Did you mean {form.format(near[0])}?" if near else ""
    return f"The configuration file has an unknown setting: {what}.{hint}"


def _value(section: str, field: DescribedField, value: Any) -> Any:
    """The value of a field from what TOML gave. Raises RelayError."""
    kind = _plain(field.kind)
    place = f"In the configuration file, {field.name} in [{section}] has to be"
    if get_origin(kind) in (tuple, frozenset):
        inner = get_args(kind)[0]
        if not isinstance(value, list) or not all(_is_a(inner, one) for one in value):
            raise RelayError(f"{place} a list, each item {_WORDS[inner]}.")
        return get_origin(kind)(value)
    if kind is Path:
        if not isinstance(value, str):
            raise RelayError(f"{place} a text: the path of a file or folder.")
        return Path(value)
    if not _is_a(kind, value):
        raise RelayError(f"{place} {_WORDS[kind]}.")
    return float(value) if kind is float else value


def _is_a(kind: type, value: Any) -> bool:
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _plain(kind: Any) -> Any:
    """A type without the None that stands for "not set"."""
    if isinstance(kind, UnionType):
        return next(one for one in get_args(kind) if one is not NoneType)
    return kind


def _default(field: DescribedField) -> Any:
    if field.default is MISSING:
        raise TypeError(f"The setting {field.name} has no default.")
    return field.default


def _toml(value: Any) -> str:
    if value is None:
        return "  # not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset):
        return _toml(tuple(sorted(value)))
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False)

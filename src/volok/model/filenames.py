"""File names that came from outside, made safe. No other code of the project does this."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME = 100
"""Characters in a name."""

MAX_NAME_BYTES = 240
"""Bytes of a name in UTF-8: file systems take 255, and some room is left for a suffix."""

_EXTENSION = re.compile(r"(?<=.)\.[^. ]{1,15}\Z", re.DOTALL)
_FORBIDDEN = re.compile(r'[/\\:*?"<>|]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|\Z)", re.I)
_NAMELESS = "file"


def safe_name(name: str) -> str:
    """A name that is safe to save under on any system, as close to `name` as that allows.

    In NFC, of 1 to MAX_NAME characters, with its extension; without separators, control and
    formatting characters (bidirectional overrides among them), names that Windows reserves,
    leading dots, dashes and spaces, trailing dots and spaces. Safe names stay as they are.
    """
    text = _FORBIDDEN.sub("_", _visible(unicodedata.normalize("NFC", name)))
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    text = text.lstrip(".- ").rstrip(". ")
    if _RESERVED.match(text):
        text = f"_{text}"
    extension = _EXTENSION.search(text)
    ending = extension.group() if extension else ""
    stem = text.removesuffix(ending)
    while len(stem) + len(ending) > MAX_NAME or len((stem + ending).encode()) > MAX_NAME_BYTES:
        stem = stem[: min(len(stem), MAX_NAME + 1 - len(ending)) - 1]
    return (stem + ending).rstrip(". ") or _NAMELESS


def _visible(text: str) -> str:
    """Without characters of the categories C (control, format, surrogate, private, unassigned).

    Line and paragraph separators become spaces.
    """
    spaced = (" " if character.isspace() else character for character in text)
    return "".join(c for c in spaced if not unicodedata.category(c).startswith("C"))

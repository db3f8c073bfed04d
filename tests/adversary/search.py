"""Looking for a text in raw bytes, in whatever usual form it may lie there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path

SHORTEST = 6
"""Bytes; what is shorter stands in enough ciphertext by chance."""


def forms(text: str) -> list[bytes]:
    """The text in UTF-8 and UTF-16, plain, escaped, in hexadecimal and in base64."""
    raw = text.encode()
    found = [
        raw,
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        json.dumps(text)[1:-1].encode(),
    ]
    found += [raw.hex().encode(), raw.hex().upper().encode()]
    for shift in range(3):
        # What stands before shifts the text, and the characters at both ends depend on it.
        middle = base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4]
        found += [middle, middle.translate(bytes.maketrans(b"+/", b"-_"))]
    return [form for form in found if len(form) >= SHORTEST]


def holding(data: bytes, texts: Iterable[str]) -> list[str]:
    """Those of the texts that the data holds in any form."""
    return [text for text in texts if any(form in data for form in forms(text))]


def everything(folder: Path) -> bytes:
    """The bytes of all files of a folder, and their names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return b"\0".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in files)

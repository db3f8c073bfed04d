"""Looking for a text in raw bytes, in whatever usual form it may lie there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path


def forms(text: str) -> Iterator[bytes]:
    """The text in UTF-8 and UTF-16, plain, escaped, in hexadecimal and in base64."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        raw = text.encode(encoding)
        yield raw
        yield raw.hex().encode()
        yield raw.hex().upper().encode()
        for shift in range(3):
            # What stands before shifts the text, and the characters at both ends depend on it.
            middle = base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4]
            yield middle
            yield middle.translate(bytes.maketrans(b"+/", b"-_"))
    yield json.dumps(text)[1:-1].encode()


def holding(data: bytes, texts: Iterable[str]) -> list[str]:
    """Those of the texts that the data holds in any form."""
    return [text for text in texts if any(len(form) > 3 and form in data for form in forms(text))]


def everything(folder: Path) -> bytes:
    """The bytes of all files of a folder, and their names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return b"\0".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in files)

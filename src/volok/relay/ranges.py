"""The Range header of HTTP (RFC 9110, section 14). Pure."""

from __future__ import annotations

import re

_RANGE = re.compile("bytes=([0-9]{0,18})-([0-9]{0,18})")


class Unsatisfiable(ValueError):
    """The blob has no such part."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The (start, length) that a Range header asks for of a body of `size` bytes.

    None for the whole: without a header, and for what need not be understood (other units,
    several ranges). Raises Unsatisfiable.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise Unsatisfiable
        return size - length, length
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, end - start + 1

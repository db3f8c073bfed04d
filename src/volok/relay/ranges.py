"""Ranges and conditions of HTTP requests (RFC 9110, sections 13 and 14). Pure."""

from __future__ import annotations

import re

_RANGE = re.compile("bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


class Unsatisfiable(ValueError):
    """The blob has no such part."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The (start, length) that a Range header asks for of a body of `size` bytes.

    None for the whole: without a header, and for what need not be understood (other units,
    several ranges). Raises Unsatisfiable.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
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


def names_tag(header: str | None, tag: str) -> bool:
    """Whether an If-None-Match or If-Match header names this strong entity tag (with its quotes),
    or is `*`. Weak tags of the header count: bytes that are named by their hash are the same
    either way."""
    if header is None:
        return False
    return header.strip() == "*" or tag in {
        found.removeprefix("W/") for found in _TAG.findall(header)
    }


def range_holds(if_range: str | None, tag: str) -> bool:
    """Whether a Range is to be looked at beside this If-Range header: it has to be this very tag.
    A date is none: blobs have no time of change."""
    return if_range is None or if_range.strip() == tag

"""Reading rows that were saved as JSON: what was learned of a path at a place."""

from __future__ import annotations

from collections.abc import Iterator

_MOST = 1e12
"""No number that was ever saved is as large."""


def saved_rows(value: object, numbers: int) -> Iterator[tuple[str, str, str, list[float]]]:
    """The rows of a network, a relay, a name and so many numbers, none of them negative.

    Rows that make no sense, or have another length, are left out.
    """
    for row in value if isinstance(value, list) else ():
        if not (isinstance(row, list) and len(row) == 3 + numbers):
            continue
        network, relay, name = row[:3]
        if not all(type(text) is str for text in row[:3]):
            continue
        if all(type(one) in (int, float) and 0 <= one < _MOST for one in row[3:]):
            yield network, relay, name, row[3:]

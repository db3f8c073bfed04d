"""Lists in XML as servers give them (WebDAV, S3), read with bounded effort.

No document type is accepted, so that nothing can be expanded.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.parsers import expat

MOST_TEXT = 4096
"""Characters of one field; more are cut off."""


class InvalidListing(ValueError):
    """This is not the list that was asked for."""


class _Collector:
    """Collects the texts of some elements inside each record. Names are without namespace."""

    def __init__(self, record: str, fields: Sequence[str], most: int) -> None:
        self._record = record
        self._fields = frozenset(fields)
        self._most = most
        self._current: dict[str, str] = {}
        self._open: list[str] = []
        self.records: list[dict[str, str]] = []
        self.outside: dict[str, str] = {}

    def start(self, name: str, _: object) -> None:
        local = name.rpartition(" ")[2]
        self._open.append(local)
        if len(self._open) > 64:
            raise InvalidListing(InvalidListing.__doc__)
        if local == self._record:
            self._current = {}
        elif local in self._fields:
            self._place().setdefault(local, "")

    def end(self, _: str) -> None:
        if self._open.pop() == self._record:
            if len(self.records) >= self._most:
                raise InvalidListing("The list is too long.")
            self.records.append(self._current)

    def text(self, data: str) -> None:
        field = self._open[-1] if self._open else ""
        if field in self._fields:
            place = self._place()
            place[field] = (place.get(field, "") + data)[:MOST_TEXT]

    def _place(self) -> dict[str, str]:
        return self._current if self._record in self._open else self.outside


def read_listing(
    data: bytes, record: str, fields: Sequence[str], most: int
) -> tuple[list[dict[str, str]], dict[str, str]]:
    """The given fields of each record element, and of what stands outside of any record.

    Raises InvalidListing for what is not XML, has a document type or more than `most` records.
    """
    collector = _Collector(record, fields, most)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = collector.start
    parser.EndElementHandler = collector.end
    parser.CharacterDataHandler = collector.text
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, UnicodeError) as error:
        raise InvalidListing(InvalidListing.__doc__) from error
    return collector.records, collector.outside


def _refuse(*_: object) -> None:
    raise InvalidListing(InvalidListing.__doc__)

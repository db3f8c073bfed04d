"""Languages: catalogues read from `locale/`, the choice of one, and text in it.

Source texts are English. Catalogues are gettext .po files, compiled in memory when they are loaded,
so that a fresh clone needs no build step.
"""

from __future__ import annotations

import gettext
import io
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from babel import Locale
from babel.core import negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = {"en": "English", "ru": "Русский"}
"""The languages there are, each by its own name."""


@dataclass(frozen=True, slots=True)
class Language:
    """One language: its tag, its writing direction and its texts."""

    code: str
    locale: Locale
    catalogue: gettext.NullTranslations

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`."""
        return "rtl" if self.locale.character_order == "right-to-left" else "ltr"

    def gettext(self, text: str) -> str:
        """The text in this language; itself when there is no translation."""
        return self.catalogue.gettext(text) if text else ""

    def ngettext(self, one: str, many: str, count: int) -> str:
        """The right plural form."""
        return self.catalogue.ngettext(one, many, count)


@cache
def language(code: str) -> Language:
    """The language with this tag; English for what we do not have."""
    if code not in LANGUAGES:
        code = "en"
    catalogue = gettext.NullTranslations()
    if code != "en":
        source = files(__package__).joinpath("locale", code, "LC_MESSAGES", "volok.po")
        compiled = io.BytesIO()
        write_mo(compiled, read_po(io.BytesIO(source.read_bytes()), locale=code))
        compiled.seek(0)
        catalogue = gettext.GNUTranslations(compiled)
    return Language(code, Locale.parse(code), catalogue)


def choose(preference: str, accept_language: str) -> Language:
    """The person's own choice, else the best of an Accept-Language header (RFC 9110, 12.5.4).

    A malformed header counts as none.
    """
    if preference in LANGUAGES:
        return language(preference)
    wanted: list[tuple[float, str]] = []
    for part in accept_language.split(","):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        if tag and 0 < weight <= 1:
            wanted.append((-weight, tag))
    tags = [tag for _, tag in sorted(wanted, key=lambda pair: pair[0])]
    return language(negotiate_locale(tags, list(LANGUAGES), sep="-") or "en")

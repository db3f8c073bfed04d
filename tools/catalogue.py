"""Bring the message catalogues up to date with the templates and sources of the web app.

Run it after texts change: `python tools/catalogue.py`; then translate what is empty in the files.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from volok.app import carrying
from volok.store import blobs, store, vault
from volok.sync import bundle

WEB = Path(__file__).resolve().parent.parent / "src" / "volok" / "app" / "web"
_METHODS = [("templates/**.html", "jinja2"), ("**.py", "python")]
_OPTIONS = {"templates/**.html": {"trimmed": "false", "silent": "false"}}
_STATED = (
    vault.VaultFull,
    vault.VaultLocked,
    vault.WrongPassphrase,
    vault.VaultTooNew,
    vault.VaultDestroyed,
    store.StoreFull,
    blobs.BlobsFull,
    bundle.InvalidBundle,
    bundle.BundleTooNew,
    bundle.BundleNotForUs,
    bundle.BundleTooLarge,
    carrying.NothingWaits,
)
"""Errors whose docstring a person may read."""


def texts() -> Catalog:
    """All texts of the web app, without translations."""
    catalogue = Catalog(project="Volok", charset="utf-8")
    for file, _line, message, _comments, _context in extract_from_dir(
        WEB,
        _METHODS,
        _OPTIONS,
        keywords={"_": None, "gettext": None, "ngettext": (1, 2), "_n": (1, 2)},
    ):
        catalogue.add(message, locations=[(file, 0)])
    for error in _STATED:
        sentence = (inspect.getdoc(error) or "").partition("\n\n")[0]
        catalogue.add(" ".join(sentence.split()), locations=[(error.__module__, 0)])
    return catalogue


def main() -> None:
    """Add new texts to every catalogue and drop those that are gone."""
    for path in sorted(WEB.glob("locale/*/LC_MESSAGES/volok.po")):
        with path.open("rb") as source:
            catalogue = read_po(source, locale=path.parent.parent.name)
        catalogue.update(texts(), no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        with path.open("wb") as target:
            write_po(
                target,
                catalogue,
                omit_header=False,
                width=100,
                include_lineno=False,
                sort_output=True,
            )


if __name__ == "__main__":
    main()

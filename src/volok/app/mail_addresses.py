"""At which mail addresses contacts are written to, for each mail account; kept in the vault."""

from __future__ import annotations

import json

from volok.chat.records import set_setting, setting
from volok.paths.mail_account import InvalidMailAddress, parse_address
from volok.store.vault import Transaction

VERSION = 1
_MOST = 10_000


class MailAddresses:
    """The addresses of contacts (by their ids) that one account writes to."""

    def __init__(self, drop: str) -> None:
        """`drop` names the account in the vault."""
        self._name = setting_of(drop)
        self._given: dict[str, bool] = {}
        self.known: dict[str, str] = {}
        """The address of each contact, by id; the same object for as long as this one lives."""

    def load(self, tx: Transaction) -> None:
        """Take up what is in the vault; what makes no sense is left out."""
        try:
            stored = json.loads(str(setting(tx, self._name, "{}")))
            entries = stored["contacts"].items() if stored.get("version") == VERSION else ()
        except (ValueError, AttributeError, KeyError, RecursionError):
            entries = ()
        for contact, entry in entries:
            try:
                self.known[contact] = parse_address(entry["address"])
                self._given[contact] = bool(entry["given"])
            except (InvalidMailAddress, TypeError, KeyError, AttributeError):
                continue

    def give(self, tx: Transaction, contact: str, address: str) -> None:
        """The person says where this contact is written to. Raises InvalidMailAddress."""
        self._put(tx, contact, parse_address(address), True)

    def learn(self, tx: Transaction, contact: str, address: str) -> None:
        """This contact wrote from here; what the person said counts for more. Raises
        InvalidMailAddress."""
        if not self._given.get(contact) and self.known.get(contact) != address:
            self._put(tx, contact, parse_address(address), False)

    def _put(self, tx: Transaction, contact: str, address: str, given: bool) -> None:
        if contact not in self.known and len(self.known) >= _MOST:
            return
        self.known[contact] = address
        self._given[contact] = given
        entries = {
            each: {"address": at, "given": self._given[each]} for each, at in self.known.items()
        }
        set_setting(tx, self._name, json.dumps({"version": VERSION, "contacts": entries}))


def setting_of(drop: str) -> str:
    """The name of the setting that holds them."""
    return f"drop-mail {drop}"

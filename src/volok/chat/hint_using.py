"""Reading and writing at relays that contacts told us of, while our own are gone.

The app says which relays are out of reach and which heard ones are tried; here is what follows.

1. A relay that is tried is read at. Once it was reached, every contact is told that we read there.
2. What waits for a contact none of whose relays can be reached goes there, too: they may have lost
   the same relays and have heard of the same one.
3. When our own are back, contacts are told so, and what waits goes by those again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from volok.chat import contacts
from volok.chat.hints import OFF, candidates
from volok.chat.hooks import Hands
from volok.chat.people import set_own_relays
from volok.chat.records import set_setting
from volok.chat.views import ChatError
from volok.store.deliveries import ItemKind
from volok.store.vault import Transaction
from volok.store.vault_deliveries import queue, want


def try_relays(hands: Hands, urls: Sequence[str]) -> None:
    """Read at these heard relays and at no others; what is no candidate is left out."""
    tx = hands.tx
    may = candidates(tx, contacts.own_relays(tx), hands.now_ms // 1000)
    wanted = [url for url in urls if url in may]
    used = {str(url): bool(works) for url, works in tx.execute("SELECT url, works FROM hint_use")}
    if set(used) == set(wanted):
        return
    _leave(tx, used.keys() - set(wanted))
    tx.many("INSERT OR IGNORE INTO hint_use (url) VALUES (?)", [(url,) for url in wanted])
    for name, size in tx.execute("SELECT DISTINCT name, size FROM wanted"):
        want(tx, name, size, wanted)
        hands.effects.queued = True
    hands.effects.scopes = True
    if any(works for url, works in used.items() if url not in wanted):
        contacts.tell_everybody(tx, hands.keys, hands.now_ms)


def reached(hands: Hands, url: str, gone: Iterable[str]) -> None:
    """A heard relay that is tried was reached; `gone`: relays that cannot be."""
    tx = hands.tx
    set_gone(hands, gone)
    if tx.execute("UPDATE hint_use SET works = 1 WHERE url = ? AND NOT works RETURNING 1", (url,)):
        contacts.tell_everybody(tx, hands.keys, hands.now_ms)
        _spread(hands)


def set_gone(hands: Hands, gone: Iterable[str]) -> None:
    """These relays cannot be reached now, and all others can, as far as we know."""
    tx = hands.tx
    before = {str(url) for (url,) in tx.execute("SELECT url FROM relay_gone")}
    fresh = set(gone)
    if fresh == before:
        return
    tx.execute("DELETE FROM relay_gone")
    tx.many("INSERT INTO relay_gone VALUES (?)", [(url,) for url in sorted(fresh)])
    if fresh.difference(before):
        _spread(hands)


def end(hands: Hands) -> None:
    """Our own relays are back: leave the heard ones."""
    tx = hands.tx
    told = contacts.heard_relays(tx, working=True)
    _leave(tx, contacts.heard_relays(tx))
    tx.execute("DELETE FROM relay_gone")
    hands.effects.scopes = True
    if told:
        contacts.tell_everybody(tx, hands.keys, hands.now_ms)


def keep(hands: Hands, url: str) -> None:
    """Make a heard relay one of our own. Raises ChatError."""
    if url not in candidates(hands.tx, (), hands.now_ms // 1000):
        raise ChatError("No contact told you of this relay.")
    own = contacts.own_relays(hands.tx)
    _leave(hands.tx, [url])
    set_own_relays(hands, (*own, url))


def remove(hands: Hands, place: str) -> None:
    """Never use a place that contacts told us of, and do not show it. Raises ChatError."""
    if not hands.tx.execute("UPDATE hint SET removed = 1 WHERE place = ? RETURNING 1", (place,)):
        raise ChatError("No contact told you of this place.")
    prune(hands)


def set_off(hands: Hands, off: bool) -> None:
    """Whether no heard relay is to be used at all."""
    set_setting(hands.tx, OFF, int(off))
    prune(hands)


def prune(hands: Hands) -> None:
    """Leave heard relays that may not be used any more: taken back, removed, out of date, or told
    by somebody who is blocked now."""
    used = [str(url) for (url,) in hands.tx.execute("SELECT url FROM hint_use")]
    if used:
        try_relays(hands, used)


def _leave(tx: Transaction, urls: Iterable[str]) -> None:
    for url in urls:
        tx.execute("DELETE FROM hint_use WHERE url = ?", (url,))
        tx.execute("DELETE FROM wanted WHERE relay = ?", (url,))
        # What still waits for it goes by relays that are told instead.
        if not tx.execute("SELECT 1 FROM contact_relay WHERE url = ?", (url,)):
            tx.execute("DELETE FROM delivery WHERE relay = ?", (url,))


def _spread(hands: Hands) -> None:
    """Let what waits for contacts out of reach go by the heard relays that work."""
    tx = hands.tx
    used = contacts.heard_relays(tx, working=True)
    if not used:
        return
    for (contact,) in tx.execute("SELECT DISTINCT contact FROM contact_relay"):
        if not contacts.is_stranded(tx, contact):
            continue
        events = tx.execute(
            "SELECT s.event FROM sealed s JOIN outbox o ON o.number = s.outbox "
            "WHERE o.contact = ? ORDER BY o.number",
            (contact,),
        )
        blobs = tx.execute(
            "SELECT DISTINCT c.name FROM chunk c JOIN file f ON f.id = c.file "
            "JOIN outbox o ON o.message = f.message WHERE o.contact = ? AND c.here",
            (contact,),
        )
        queue(tx, ItemKind.EVENT, [str(event) for (event,) in events], used)
        queue(tx, ItemKind.BLOB, [str(name) for (name,) in blobs], used)
        hands.effects.queued = True

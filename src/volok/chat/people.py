"""The person and their contacts: names, relays, flags, epochs, and what the app wires."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from volok.chat import contacts
from volok.chat.content import MAX_RELAYS, MAX_TIMER
from volok.chat.hint_telling import forget_contact
from volok.chat.history import remove_message
from volok.chat.hooks import Hands, drop_sealed, restart
from volok.chat.invite_codec import MAX_NAME, clip, parse_bundle
from volok.chat.kit import Kit
from volok.chat.ratchet import encrypt_waiting
from volok.chat.receive import accept_key as accept_pending_key
from volok.chat.records import journal, set_setting, setting
from volok.chat.sending import Ready, ready_rows, seal
from volok.chat.views import Change, ChatError, ContactState
from volok.model.crypto import Crypto
from volok.model.envelope import BUCKETS
from volok.model.urls import normalise_relay_url
from volok.store.vault import Transaction


@dataclass(frozen=True, slots=True)
class InboxScope:
    """An inbox that is to be read at these relays. Its secret answers NIP-42 challenges."""

    public: str
    secret: bytes
    relays: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """What waits for one contact, ready to be put into a bundle."""

    contact: str
    inbox: str
    sealing: bytes
    events: tuple[bytes, ...]
    """Sealed envelopes as canonical JSON."""
    blobs: tuple[str, ...]
    """Names of blobs that belong to them."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One content that waits for a contact's receipt and is encrypted."""

    contact: str
    number: int
    session: bytes
    sequence: int
    size: int
    """Bytes of its frame."""
    since_ms: int
    by_relay: bool
    """Whether the contact reads at any relay."""
    blobs: tuple[tuple[str, int], ...]
    """Names and sizes of the blobs that belong to it."""


def node_keys(tx: Transaction, crypto: Crypto) -> tuple[bytes, bytes]:
    """The key of the Olm pickles and this node's epoch; made at first use."""
    pickle_key = setting(tx, "pickle_key")
    if not isinstance(pickle_key, bytes):
        pickle_key = crypto.random(32)
        set_setting(tx, "pickle_key", pickle_key)
    epoch = setting(tx, "epoch")
    if not isinstance(epoch, bytes):
        epoch = new_epoch(tx, crypto)
    return pickle_key, epoch


def new_epoch(tx: Transaction, crypto: Crypto) -> bytes:
    """Choose a new epoch for this node."""
    epoch = crypto.random(8)
    set_setting(tx, "epoch", epoch)
    return epoch


def start_anew(hands: Hands) -> None:
    """After a restoration: old sessions only receive, and every contact hears the new epoch.

    `epoch` is the first content of each new session, so that it is taken up before the rest.
    """
    tx = hands.tx
    # The store of the lost node is gone, and with it its log and what was sealed in it.
    set_setting(tx, "log_cursor", 0)
    for emptied in ("relay_cursor", "sealed", "spent", "mark"):
        tx.execute(f"DELETE FROM {emptied}")  # noqa: S608 (four fixed names)
    tx.execute("DELETE FROM delivery WHERE kind = 'event'")
    tx.execute("UPDATE outbox SET sealed = 0")
    tx.execute("UPDATE session SET sends = 0")
    # They may have replaced their sealing key since; the one beside the reset key is kept for this.
    tx.execute("UPDATE contact SET their_sealing = coalesce(their_reset_sealing, their_sealing)")
    for (contact,) in tx.execute("SELECT id FROM contact WHERE their_reset IS NOT NULL"):
        restart(hands, contact)
        contacts.tell_keys(tx, hands.keys, contact, "epoch", hands.now_ms, reset=True)
        tx.execute(
            "UPDATE outbox SET number = (SELECT min(number) FROM outbox) - 1 "
            "WHERE contact = ? AND type = 'epoch' AND session IS NULL",
            (contact,),
        )


def _clean_name(name: str) -> str:
    cleaned = clip(" ".join(name.split()), MAX_NAME)
    if not cleaned or not cleaned.isprintable():
        raise ChatError("Choose a name of at most 64 letters.")
    return cleaned


def set_name(hands: Hands, name: str) -> None:
    """Change how we call ourselves, and tell every contact."""
    before = contacts.own_name(hands.tx)
    cleaned = _clean_name(name)
    set_setting(hands.tx, "name", cleaned)
    if before not in ("", cleaned):
        contacts.tell_everybody(hands.tx, hands.keys, hands.now_ms)


def set_own_relays(hands: Hands, urls: Sequence[str]) -> None:
    """Replace the relays at which we read, and tell every contact."""
    relays = list(dict.fromkeys(normalise_relay_url(url) for url in urls))
    if len(relays) > MAX_RELAYS:
        raise ChatError(f"At most {MAX_RELAYS} relays are useful.")
    if relays == list(contacts.own_relays(hands.tx)):
        return
    set_setting(hands.tx, "relays", json.dumps(relays))
    hands.effects.scopes = True
    contacts.tell_everybody(hands.tx, hands.keys, hands.now_ms)


def adopt_relays(hands: Hands, bundle: bytes) -> None:
    """A node without relays reads at those of the person whose invite it accepts."""
    if not contacts.own_relays(hands.tx):
        set_setting(hands.tx, "relays", json.dumps(parse_bundle(bundle).relays))


def set_default_timer(hands: Hands, seconds: int) -> None:
    """Change the timer of conversations that begin from now on."""
    if not 0 <= seconds <= MAX_TIMER:
        raise ChatError("A timer lasts between a second and a year.")
    set_setting(hands.tx, "timer", seconds)


def rename(hands: Hands, contact: str, name: str) -> None:
    """Give a contact a name of our own; empty goes back to theirs."""
    contacts.must_exist(hands.tx, contact)
    given = _clean_name(name) if name.strip() else None
    hands.tx.execute("UPDATE contact SET given_name = ? WHERE id = ?", (given, contact))
    journal(hands.tx, contact)


def set_flag(hands: Hands, contact: str, flag: str, on: bool) -> None:
    """Set one of muted, pinned, verified."""
    contacts.must_exist(hands.tx, contact)
    column = {"muted": "muted", "pinned": "pinned", "verified": "verified"}[flag]
    hands.tx.execute(
        f"UPDATE contact SET {column} = ? WHERE id = ?",  # noqa: S608 (three fixed names)
        (int(on), contact),
    )
    journal(hands.tx, contact)


def block(hands: Hands, contact: str, on: bool) -> None:
    """Block or unblock."""
    contacts.must_exist(hands.tx, contact)
    if on:
        state = ContactState.BLOCKED
    else:
        # Where it stood before: a block must not answer an invite or accept a changed key.
        token, pending = hands.tx.execute(
            "SELECT token, pending_identity FROM contact WHERE id = ?", (contact,)
        )[0]
        state = ContactState.WAITING if token is not None else ContactState.ACTIVE
        state = ContactState.KEY_CHANGED if pending is not None else state
    hands.tx.execute("UPDATE contact SET state = ? WHERE id = ?", (state.value, contact))
    hands.effects.scopes = True
    journal(hands.tx, contact)


def accept_key(hands: Hands, contact: str) -> None:
    """Accept a contact's new identity key."""
    contacts.must_exist(hands.tx, contact)
    accept_pending_key(hands, contact)
    journal(hands.tx, contact)


def forget(hands: Hands, contact: str) -> None:
    """Delete everything that a relationship consists of."""
    tx = hands.tx
    contacts.must_exist(tx, contact)
    waiting = tx.execute("SELECT number FROM outbox WHERE contact = ?", (contact,))
    hands.effects.done_events += drop_sealed(tx, [number for (number,) in waiting])
    for (message,) in tx.execute("SELECT id FROM message WHERE contact = ?", (contact,)):
        hands.effects.gone_blobs += remove_message(tx, message)
    (inbox,) = tx.execute("SELECT inbox FROM contact WHERE id = ?", (contact,))[0]
    tables = (
        "outbox", "early", "seen", "session", "content_known", "retired_epoch", "contact_relay",
        "hint", "hint_peer",
    )  # fmt: skip
    for table in tables:
        tx.execute(f"DELETE FROM {table} WHERE contact = ?", (contact,))  # noqa: S608
    forget_contact(tx, contact)
    contacts.drop_inbox(tx, inbox)
    tx.execute("DELETE FROM contact WHERE id = ?", (contact,))
    hands.effects.scopes = True
    journal(tx, contact)


def scopes(tx: Transaction) -> list[InboxScope]:
    """The inboxes to be read: of relationships, and of invites that may still be used.

    Only contacts learn that we read at heard relays, so no answer to an invite comes there.
    """
    own, all_relays = contacts.own_relays(tx), contacts.reading_relays(tx)
    rows = tx.execute(
        "SELECT i.public, i.secret, i.contact IS NULL FROM inbox i "
        "LEFT JOIN contact c ON c.id = i.contact "
        "WHERE i.invite IS NOT NULL OR c.state != 'blocked' ORDER BY i.created_at, i.public"
    )
    return [
        InboxScope(str(public), bytes(secret), own if invite else all_relays)
        for public, secret, invite in rows
    ]


def opening_keys(tx: Transaction) -> list[tuple[str, bytes]]:
    """Every inbox with each of its secret sealing keys, newest first."""
    rows = tx.execute("SELECT inbox, secret FROM sealing ORDER BY created_at DESC")
    return [(str(inbox), bytes(secret)) for inbox, secret in rows]


def journal_after(tx: Transaction, cursor: int) -> list[Change]:
    """Journal lines after a cursor."""
    rows = tx.execute(
        "SELECT cursor, kind, contact, message, new FROM journal WHERE cursor > ? "
        "ORDER BY cursor LIMIT 500",
        (cursor,),
    )
    return [Change(n, kind, contact, message, bool(new)) for n, kind, contact, message, new in rows]


def _prepared(kit: Kit, tx: Transaction, contact: str | None) -> list[tuple[str, str, bytes]]:
    """Encrypt what waits; return id, inbox and sealing key of each contact asked for."""
    encrypt_waiting(tx, kit.keys, kit.settings, 10 * kit.settings.window)
    rows = tx.execute(
        "SELECT id, their_inbox, their_sealing FROM contact "
        "WHERE state IN ('active', 'waiting') AND (? IS NULL OR id = ?)",
        (contact, contact),
    )
    return [(str(i), str(inbox), bytes(sealing)) for i, inbox, sealing in rows]


async def waiting_contents(kit: Kit) -> list[Waiting]:
    """Encrypt everything that waits for a receipt, and list it in its order."""

    def work(tx: Transaction) -> list[Waiting]:
        encrypt_waiting(tx, kit.keys, kit.settings, 10 * kit.settings.window)
        blobs: dict[int, dict[str, int]] = {}
        for number, name, size in tx.execute(
            "SELECT o.number, c.name, c.size FROM outbox o JOIN file f ON f.message = o.message "
            "JOIN chunk c ON c.file = f.id WHERE o.type = 'text' ORDER BY f.place, c.place"
        ):
            blobs.setdefault(number, {})[str(name)] = int(size)
        rows = tx.execute(
            "SELECT o.contact, o.number, o.session, o.sequence, length(o.frame), o.sent_ms, "
            "EXISTS (SELECT 1 FROM contact_relay r WHERE r.contact = o.contact) "
            "FROM outbox o JOIN contact c ON c.id = o.contact "
            "WHERE o.session IS NOT NULL AND c.state IN ('active', 'waiting') ORDER BY o.number"
        )
        return [
            Waiting(who, number, session, sequence, size, since, bool(by_relay), files)
            for who, number, session, sequence, size, since, by_relay in rows
            for files in [tuple(blobs.get(number, {}).items())]
        ]

    return await kit.vault.transact(work)


async def parcel_of(
    kit: Kit, contact: str, numbers: Sequence[int], blobs: Sequence[str]
) -> Parcel | None:
    """Seal anew some of what waits for a contact; None for a contact who gets nothing.

    Of `numbers`, those that have their receipt meanwhile are left out.
    """

    def work(tx: Transaction) -> tuple[list[tuple[str, str, bytes]], list[Ready]]:
        found = _prepared(kit, tx, contact)
        rows = ready_rows(
            tx,
            "o.contact = ? AND o.number IN (SELECT value FROM json_each(?)) ORDER BY o.number",
            (contact, json.dumps(list(numbers))),
        )
        return found, rows

    found, rows = await kit.vault.transact(work)
    if not found:
        return None
    events: list[bytes] = []
    for row in rows:
        events += [e.to_json() for e in await seal(kit, replace(row, bucket=BUCKETS[-1]))]
        await asyncio.sleep(0)  # there may be many: whoever reads and writes sockets goes first
    identifier, inbox, sealing = found[0]
    return Parcel(identifier, inbox, sealing, tuple(events), tuple(blobs))


async def parcels(kit: Kit, contact: str | None) -> AsyncIterator[Parcel]:
    """Seal anew, for each contact asked for, everything that waits for their receipt."""
    for identifier, inbox, sealing in await kit.vault.transact(
        lambda tx: _prepared(kit, tx, contact)
    ):
        rows, blobs = await kit.vault.read(partial(_waiting_for, contact=identifier))
        events: list[bytes] = []
        for row in rows:
            sealed = await seal(kit, replace(row, bucket=BUCKETS[-1]))
            events += [event.to_json() for event in sealed]
        if events:
            yield Parcel(identifier, inbox, sealing, tuple(events), tuple(blobs))


def _waiting_for(tx: Transaction, contact: str) -> tuple[list[Ready], list[str]]:
    rows = ready_rows(tx, "o.contact = ? ORDER BY o.number", (contact,))
    blobs = tx.execute(
        "SELECT c.name FROM chunk c JOIN file f ON f.id = c.file "
        "JOIN outbox o ON o.message = f.message WHERE o.contact = ?",
        (contact,),
    )
    return rows, [str(name) for (name,) in blobs]

"""Contacts and inboxes: making them, and what each side tells the other about reaching it."""

from __future__ import annotations

import json

from volok.chat.content import MAX_RELAYS, Introduction
from volok.chat.payload import Body
from volok.chat.records import Keys, journal, put_out, setting, to_text
from volok.chat.views import ChatError
from volok.model.crypto import OlmAccount
from volok.store.vault import Transaction

RESET_KEYS = 2
"""Reset keys of an inbox that stay usable: what Olm keeps."""


def must_exist(tx: Transaction, contact: str) -> None:
    """Raise ChatError when there is no such contact."""
    if not tx.execute("SELECT 1 FROM contact WHERE id = ?", (contact,)):
        raise ChatError("There is no such contact.")


def drop_inbox(tx: Transaction, inbox: str) -> None:
    """Forget an inbox, its keys, and everything held for it or to be asked of relays about it."""
    for table in ("held_frame", "held_part", "sealing", "spent"):
        tx.execute(f"DELETE FROM {table} WHERE inbox = ?", (inbox,))  # noqa: S608 (fixed names)
    tx.execute("DELETE FROM inbox WHERE public = ?", (inbox,))


def own_relays(tx: Transaction) -> tuple[str, ...]:
    """The relays that the person chose for reading their inboxes."""
    return tuple(json.loads(str(setting(tx, "relays", "[]"))))


def heard_relays(tx: Transaction, *, working: bool = False) -> tuple[str, ...]:
    """Relays that contacts told us of and that we read at, too, because our own are gone; with
    `working`, those that were reached."""
    rows = tx.execute(
        "SELECT url FROM hint_use WHERE works >= ? AND EXISTS (SELECT 1 FROM hint h JOIN contact c "
        "ON c.id = h.contact WHERE h.place = url AND NOT h.removed AND c.state != 'blocked') "
        "ORDER BY url",
        (int(working),),
    )
    return tuple(str(url) for (url,) in rows)


def reading_relays(tx: Transaction, *, working: bool = False) -> tuple[str, ...]:
    """All relays at which we read, those that work before our own that do not."""
    return tuple(dict.fromkeys((*heard_relays(tx, working=working), *own_relays(tx))))[:MAX_RELAYS]


def own_name(tx: Transaction) -> str:
    """How we call ourselves."""
    return str(setting(tx, "name", ""))


def new_inbox(
    tx: Transaction,
    keys: Keys,
    account: OlmAccount,
    now: int,
    *,
    invite: str | None = None,
    contact: str | None = None,
) -> tuple[str, bytes]:
    """Make an inbox with its own keys; returns its public key (hexadecimal) and sealing key."""
    secret = keys.crypto.random(32)
    public = keys.crypto.public_key(secret).hex()
    tx.execute(
        "INSERT INTO inbox (public, secret, account, identity, invite, contact, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            public,
            secret,
            account.pickle(keys.pickle_key),
            account.identity_key,
            invite,
            contact,
            now,
        ),
    )
    return public, new_sealing_key(tx, keys, public, now)


def new_sealing_key(tx: Transaction, keys: Keys, inbox: str, now: int) -> bytes:
    """Make a sealing key for an inbox and return its public part."""
    key = keys.crypto.sealing_key()
    tx.execute(
        "INSERT INTO sealing (public, secret, inbox, created_at) VALUES (?, ?, ?, ?)",
        (key.public, key.secret, inbox, now),
    )
    return key.public


def set_relays(tx: Transaction, contact: str, relays: tuple[str, ...]) -> None:
    """Replace the relays of a contact; what waits is sealed anew for them."""
    if set(_told_relays(tx, contact)) == set(relays):
        return
    tx.execute("DELETE FROM contact_relay WHERE contact = ?", (contact,))
    tx.many("INSERT INTO contact_relay VALUES (?, ?)", [(contact, url) for url in relays])
    tx.execute("UPDATE outbox SET sealed = 0 WHERE contact = ?", (contact,))


def contact_relays(tx: Transaction, contact: str) -> list[str]:
    """The relays at which a contact gets what we write.

    Where none of those that they told us can be reached and ours are gone as well, they may have
    gone where we have gone.
    """
    relays = _told_relays(tx, contact)
    used = heard_relays(tx, working=True)
    if used and relays and is_stranded(tx, contact):
        relays += [url for url in used if url not in relays]
    return relays


def is_stranded(tx: Transaction, contact: str) -> bool:
    """Whether no relay that a contact told us can be reached from here, as far as we know."""
    rows = tx.execute(
        "SELECT 1 FROM contact_relay WHERE contact = ? AND url NOT IN (SELECT url FROM relay_gone)",
        (contact,),
    )
    return not rows


def _told_relays(tx: Transaction, contact: str) -> list[str]:
    rows = tx.execute("SELECT url FROM contact_relay WHERE contact = ? ORDER BY url", (contact,))
    return [str(url) for (url,) in rows]


def learn(tx: Transaction, contact: str, came: Introduction) -> None:
    """Take over what a contact says of itself; what is None stays."""
    tx.execute(
        "UPDATE contact SET name = coalesce(?, name), their_inbox = coalesce(?, their_inbox), "
        "their_sealing = coalesce(?, their_sealing), their_reset = coalesce(?, their_reset) "
        "WHERE id = ?",
        (came.name, came.inbox, came.sealing, came.reset, contact),
    )
    if came.reset is not None and came.sealing is not None:
        tx.execute(
            "UPDATE contact SET their_reset_sealing = ? WHERE id = ?", (came.sealing, contact)
        )
    if came.relays is not None:
        set_relays(tx, contact, came.relays)
    journal(tx, contact)


def introduction(
    tx: Transaction, keys: Keys, kind: str, inbox: str, account: OlmAccount | None
) -> Body:
    """Everything a contact needs to reach one inbox of ours; with an account, a fresh reset key.

    The account changes by this: the caller saves it. A reset key is replaced only once it was
    used: whoever comes back from an old backup knows no other, and Olm keeps just two. The sealing
    key that goes with it stays as long, and a new one is told at once for everything else.
    """
    (sealing,) = tx.execute(
        "SELECT public FROM sealing WHERE inbox = ? ORDER BY created_at DESC, rowid DESC LIMIT 1",
        (inbox,),
    )[0]
    body: Body = {
        "type": kind,
        "name": own_name(tx),
        "inbox": inbox,
        "sealing": to_text(sealing),
        "relays": list(reading_relays(tx, working=True)),
    }
    if account is not None:
        body["reset"] = to_text(account.new_fallback_key())
        tx.execute("UPDATE sealing SET reset = 1 WHERE public = ?", (sealing,))
        tx.execute(
            "UPDATE sealing SET reset = 0 WHERE inbox = ? AND public NOT IN (SELECT public "
            "FROM sealing WHERE inbox = ? AND reset ORDER BY created_at DESC, rowid DESC LIMIT ?)",
            (inbox, inbox, RESET_KEYS),
        )
    return body


def save_account(tx: Transaction, keys: Keys, inbox: str, account: OlmAccount) -> None:
    """Save the state of an inbox's account."""
    tx.execute(
        "UPDATE inbox SET account = ? WHERE public = ?", (account.pickle(keys.pickle_key), inbox)
    )


def tell_everybody(tx: Transaction, keys: Keys, now_ms: int) -> None:
    """Queue our present name, relays and sealing keys for every contact."""
    for (contact,) in tx.execute("SELECT id FROM contact WHERE state = 'active'"):
        tell_keys(tx, keys, contact, "keys", now_ms, reset=False)


def tell_keys(
    tx: Transaction, keys: Keys, contact: str, kind: str, now_ms: int, *, reset: bool
) -> None:
    """Queue `keys` or `epoch` for a contact: our present name, relays and sealing key.

    With `reset` they get a new reset key, too.
    """
    inbox, pickle = tx.execute(
        "SELECT i.public, i.account FROM contact c JOIN inbox i ON i.public = c.inbox "
        "WHERE c.id = ?",
        (contact,),
    )[0]
    account = keys.crypto.load_account(pickle, keys.pickle_key) if reset else None
    body = introduction(tx, keys, kind, inbox, account)
    if account is not None:
        save_account(tx, keys, inbox, account)
    tx.execute(
        "DELETE FROM outbox WHERE contact = ? AND type = ? AND session IS NULL", (contact, kind)
    )
    put_out(tx, contact, keys.crypto.random(16), body, now_ms)

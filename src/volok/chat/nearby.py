"""By what two people who stand on one local network know each other: a secret that only they have.

1. Two contacts share their conversation id and both identity keys. All of it went through the
   ratchet or under the other's sealing key, so no relay and nobody else knows it.
2. Before that, whoever holds the link of a single-use invite shares its secret with the inviter,
   and whoever accepted it shares the sealing key of its bundle, until the answer has its receipt.
3. An invite for several people gives no such secret. Its link may stand on a website, and anybody
   who read it could find out who made it, or who has just accepted it, on every network.

From each comes a key of its own (HKDF), from which nothing of what it was made of can be learned.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from volok.chat.invite_codec import (
    InvalidInvite,
    locator_secret,
    parse_bundle,
    seal_bundle,
)
from volok.chat.records import set_setting, setting
from volok.chat.views import ContactState
from volok.model.crypto import Crypto, hkdf
from volok.store.vault import Transaction

SECRET_BYTES = 32

_CONTACT = b"volok nearby 1 contact"
_LINK = b"volok nearby 1 link"
_ACCEPTED = b"volok nearby 1 accepted"


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """One secret, and what it stands for."""

    secret: bytes
    """32 bytes."""
    contact: str | None = None
    """Who has it besides us; None while that is nobody we know."""
    invite: str | None = None
    """The invite of ours whose link has it; who proves the secret may be given its bundle."""


def link_secret(locator: bytes) -> bytes:
    """What the holder of an invite's link shares with its inviter; `locator` is the secret key
    under which the bundle is found (`volok.chat.invite_codec.locator_secret`)."""
    return hkdf(locator, _LINK)


def remember_acceptance(tx: Transaction, contact: str, sealing: bytes) -> None:
    """Note that a single-use invite was accepted whose bundle has this sealing key."""
    set_setting(tx, _accepted(contact), hkdf(sealing, _ACCEPTED))


def acquaintances(tx: Transaction, now: float) -> list[Acquaintance]:
    """Everybody by whom we are to be known, the most recent first; `now` is in Unix seconds."""
    return [*_invites(tx, now), *_contacts(tx)]


def invite_content(tx: Transaction, crypto: Crypto, invite: str) -> str | None:
    """The sealed bundle of an invite of ours, as the content of its event on relays; None when
    there is no such invite."""
    rows = tx.execute("SELECT secret, bundle FROM invite WHERE id = ?", (invite,))
    if not rows:
        return None
    secret, bundle = rows[0]
    return base64.b64encode(seal_bundle(crypto, secret, bundle)).decode()


def _invites(tx: Transaction, now: float) -> list[Acquaintance]:
    rows = tx.execute(
        "SELECT v.id, v.secret, v.bundle, v.contact FROM invite v "
        "LEFT JOIN contact c ON c.id = v.contact "
        "WHERE NOT v.multiple AND NOT v.revoked AND ((v.used = 0 AND v.expires_at > ?) OR "
        "(c.state = ? AND EXISTS "
        "(SELECT 1 FROM outbox o WHERE o.contact = v.contact AND o.type = 'welcome'))) "
        "ORDER BY v.created_at DESC, v.rowid DESC",
        (int(now), ContactState.ACTIVE.value),
    )
    found = []
    for invite, secret, bundle, contact in rows:
        if contact is None:
            found.append(Acquaintance(link_secret(locator_secret(secret)), invite=invite))
        try:
            sealing = parse_bundle(bundle).sealing
        except InvalidInvite:
            continue
        found.append(Acquaintance(hkdf(sealing, _ACCEPTED), contact))
    return found


def _contacts(tx: Transaction) -> list[Acquaintance]:
    found = []
    rows = tx.execute(
        "SELECT c.id, c.state, c.conversation, c.identity, i.identity FROM contact c "
        "JOIN inbox i ON i.public = c.inbox WHERE c.state IN (?, ?) ORDER BY c.latest_ms DESC",
        (ContactState.ACTIVE.value, ContactState.WAITING.value),
    )
    for contact, state, conversation, theirs, ours in rows:
        if state == ContactState.ACTIVE.value:
            both = conversation + min(theirs, ours) + max(theirs, ours)
            found.append(Acquaintance(hkdf(both, _CONTACT), contact))
            continue
        accepted = setting(tx, _accepted(contact))
        if isinstance(accepted, bytes):
            found.append(Acquaintance(accepted, contact))
    return found


def _accepted(contact: str) -> str:
    return f"nearby {contact}"

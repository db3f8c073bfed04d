"""Safety numbers: what two people compare to know that nobody sits between them."""

from __future__ import annotations

import hashlib

from volok.chat.views import ChatError, ContactState, SafetyNumber
from volok.store.vault import Transaction

_PREFIX = "volok-safety:1:"


def safety_number(one: bytes, other: bytes) -> SafetyNumber:
    """The number of two identity keys (32 bytes each); the order does not matter."""
    low, high = sorted((one, other))
    digest = hashlib.sha512(b"volok safety number 1" + low + high).digest()
    digits = "".join(
        f"{int.from_bytes(digest[at : at + 5], 'big') % 100_000:05d}" for at in range(0, 60, 5)
    )
    return SafetyNumber(digits, _PREFIX + digest[:32].hex())


def number(tx: Transaction, contact: str) -> SafetyNumber:
    """The safety number of a relationship. Raises ChatError before the contact has answered."""
    rows = tx.execute(
        "SELECT i.identity, c.identity, c.state FROM contact c "
        "JOIN inbox i ON i.public = c.inbox WHERE c.id = ?",
        (contact,),
    )
    if not rows:
        raise ChatError("There is no such contact.")
    ours, theirs, state = rows[0]
    if state == ContactState.WAITING.value:
        raise ChatError("They have not answered yet; then there is a safety number to compare.")
    return safety_number(ours, theirs)

"""What the marks of the delivery log mean for messages and files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

from volok.chat.contacts import contact_relays
from volok.chat.files import PIECE
from volok.chat.hooks import SOLVED, Hands
from volok.chat.records import journal, journal_all, put_out, to_text
from volok.chat.views import MessageState
from volok.model.envelope import BUCKETS
from volok.store.blobs import BlobMissing, Blobs
from volok.store.deliveries import Mark, MarkState
from volok.store.vault import Transaction
from volok.store.vault_deliveries import facts

_UNUSABLE = "key"
_PROBLEMS = {
    "too-large": "Every relay of this contact refuses messages of this size. Ask them to add "
    "another relay.",
    "pow": "The relay of this contact asks for proof of work, which is not supported. Ask them to "
    "add another relay.",
    _UNUSABLE: "This contact's keys cannot be used. Ask for a new invite.",
}
_FILE_PROBLEM = (
    "No relay of this contact takes files of this size. Send it as a bundle, or ask them to add a "
    "relay that takes files."
)
_FILE_GONE = "The file of this message is gone from this computer. Send it again."


def apply_marks(hands: Hands, marks: Sequence[Mark]) -> list[str]:
    """Bring messages and files up to date; returns blobs that are to travel as frames."""
    framed: list[str] = []
    for state, same in groupby(marks, key=lambda mark: mark.state):
        match state:
            case MarkState.ARRIVED:
                for mark in same:
                    _arrived(hands, mark.item)
            case MarkState.TAKEN:
                _taken(hands, [mark.item for mark in same])
            case MarkState.REFUSED:
                for mark in same:
                    framed += _refused(hands, mark)
            case MarkState.QUEUED:
                pass
    return framed


def _messages_of(tx: Transaction, blob: str) -> list[tuple[str, str]]:
    rows = tx.execute(
        "SELECT f.contact, f.message FROM chunk c JOIN file f ON f.id = c.file WHERE c.name = ?",
        (blob,),
    )
    return [(str(contact), str(message)) for contact, message in rows]


def _arrived(hands: Hands, blob: str) -> None:
    hands.tx.execute("UPDATE chunk SET here = 1 WHERE name = ?", (blob,))
    hands.tx.execute("DELETE FROM piece WHERE name = ?", (blob,))
    journal_all(hands.tx, _messages_of(hands.tx, blob))


def _taken(hands: Hands, items: Sequence[str]) -> None:
    tx = hands.tx
    rows = tx.execute(
        "UPDATE sealed SET taken = 1 WHERE event IN (SELECT value FROM json_each(?)) "
        "RETURNING event, outbox",
        (json.dumps(items),),
    )
    events = {str(event) for event, _ in rows}
    for blob in (item for item in items if item not in events):
        if tx.execute("UPDATE chunk SET taken = 1 WHERE name = ? RETURNING 1", (blob,)):
            journal_all(tx, _messages_of(tx, blob))
    if not rows:
        return
    numbers = json.dumps([outbox for _, outbox in rows])
    # Whoever takes this may take what was refused before it; without that it could not be read.
    latest = tx.execute(
        "SELECT contact, max(number) FROM outbox "
        "WHERE number IN (SELECT value FROM json_each(?)) GROUP BY contact",
        (numbers,),
    )
    tx.many(
        "UPDATE outbox SET sealed = 0, refused = NULL WHERE refused IS NOT NULL AND refused != ? "
        "AND contact = ? AND number < ?",
        [(_UNUSABLE, contact, number) for contact, number in latest],
    )
    changed = tx.execute(
        f"UPDATE message SET state = ?, {SOLVED} WHERE state IN ('queued', 'failed') AND id IN "  # noqa: S608
        "(SELECT message FROM outbox WHERE number IN (SELECT value FROM json_each(?)) AND NOT "
        "EXISTS (SELECT 1 FROM sealed WHERE outbox = number AND NOT taken)) RETURNING contact, id",
        (MessageState.RELAYED.value, numbers),
    )
    journal_all(tx, ((str(contact), str(message)) for contact, message in changed))


def _refused(hands: Hands, mark: Mark) -> list[str]:
    tx = hands.tx
    rows = tx.execute(
        "SELECT o.number, o.contact, o.message, o.bucket FROM sealed s "
        "JOIN outbox o ON o.number = s.outbox WHERE s.event = ?",
        (mark.item,),
    )
    if not rows:
        return _blob_refused(hands, mark)
    number, contact, message, bucket = rows[0]
    if mark.reason == "missing":
        # It has left our store, say because it expired while nobody was here: it is sealed anew.
        tx.execute("UPDATE outbox SET sealed = 0 WHERE number = ?", (number,))
        return []
    if mark.reason == "too-large" and bucket > BUCKETS[0]:
        smaller = max(b for b in BUCKETS if b < bucket)
        tx.execute(
            "UPDATE contact SET bucket = ? WHERE id = ? AND coalesce(bucket, ?) > ?",
            (smaller, contact, BUCKETS[-1], smaller),
        )
        tx.execute("UPDATE outbox SET sealed = 0 WHERE number = ?", (number,))
        return []
    hopeless = not tx.execute(
        "SELECT 1 FROM sealed s LEFT JOIN delivery d ON d.item = s.event "
        "WHERE s.outbox = ? AND (s.taken OR d.item IS NOT NULL) LIMIT 1",
        (number,),
    )
    if hopeless:
        tx.execute("UPDATE outbox SET refused = ? WHERE number = ?", (mark.reason, number))
    if hopeless and message is not None:
        _fail(
            tx,
            contact,
            message,
            _PROBLEMS.get(mark.reason)
            or "Every relay of this contact refuses this message. Ask them to add another relay.",
        )
    return []


def _fail(tx: Transaction, contact: str, message: str, problem: str) -> None:
    tx.execute(
        "UPDATE message SET state = ?, problem = ? WHERE id = ? AND state = 'queued'",
        (MessageState.FAILED.value, problem, message),
    )
    journal(tx, contact, message)


def takes_blobs(tx: Transaction, contact: str) -> bool:
    """Whether any relay of a contact may take blobs, as far as we know."""
    return any(facts(tx, url).blossom is not False for url in contact_relays(tx, contact))


def _blob_refused(hands: Hands, mark: Mark) -> list[str]:
    tx, blob = hands.tx, mark.item
    pending = tx.execute("SELECT 1 FROM delivery WHERE item = ?", (blob,))
    rows = tx.execute(
        "SELECT f.contact, f.message, f.size FROM chunk c JOIN file f ON f.id = c.file "
        "WHERE c.name = ? AND NOT c.taken",
        (blob,),
    )
    if pending or not rows:
        return []
    contact, message, size = rows[0]
    gone = mark.reason == "missing"
    if size <= hands.settings.framed_limit and not gone:
        return [blob]
    problem = _FILE_GONE if gone else _FILE_PROBLEM
    tx.execute("UPDATE message SET problem = ? WHERE id = ?", (problem, message))
    journal(tx, contact, message)
    return []


async def frame_blobs(blobs: Blobs, names: Sequence[str]) -> list[tuple[str, bytes]]:
    """Read the blobs that are to travel as frames; those that are gone are left out."""
    found = []
    for name in names:
        try:
            found.append((name, await blobs.get(name)))
        except BlobMissing:
            continue
    return found


def put_pieces(hands: Hands, name: str, data: bytes) -> None:
    """Queue a blob of ours as pieces for the contact whose file it belongs to."""
    tx = hands.tx
    for contact, _ in _messages_of(tx, name):
        for start in range(0, len(data), PIECE):
            body = {
                "type": "piece",
                "name": name,
                "start": start,
                "data": to_text(data[start : start + PIECE]),
            }
            put_out(tx, contact, hands.keys.crypto.random(16), body, hands.now_ms)
    tx.execute("UPDATE chunk SET taken = 1 WHERE name = ?", (name,))

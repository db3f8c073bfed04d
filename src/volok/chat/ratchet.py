"""Order, gaps and sessions: between contents and Olm frames.

The rules of this file:

1. A frame is numbered in its session and direction. The receiver decrypts in that order and holds
   what comes early, so that Olm never has to keep skipped keys.
2. Ratchet state and plaintext, or ratchet state and outbox row, change in one transaction. States
   are loaded from the vault inside it, so a transaction that fails leaves nothing ahead of it.
3. A contact has at most five sessions. We send on the one that last decrypted; ties go to the
   lowest id. A session from before a restoration only receives.
4. A session is taken up once. Its id is kept for ever, so a replayed first message does nothing.
5. Two frames may claim one number (anybody with the sealing key can make one up): both are held and
   the one that decrypts is it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from volok.chat.payload import InvalidPayload, Payload, encode_payload, parse_body, parse_payload
from volok.chat.records import Keys
from volok.chat.settings import ChatSettings
from volok.model.crypto import CryptoError, OlmAccount, OlmSession
from volok.model.envelope import Part
from volok.store.vault import Transaction


@dataclass(frozen=True, slots=True)
class Decrypted:
    """One content that came through a session, in its order."""

    contact: str
    session: bytes
    payload: Payload


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame that has come for an inbox."""

    session: bytes
    sequence: int
    digest: bytes
    """The first 16 bytes of its SHA-256."""
    data: bytes
    identity: bytes
    """The identity key that its envelope names."""
    inbox: str


@dataclass(frozen=True, slots=True)
class FirstFrame:
    """A frame that starts a session we do not know, opened but not yet taken up."""

    session: OlmSession
    account: OlmAccount
    identity: bytes
    inbox: str
    invite: str | None
    contact: str | None
    payload: Payload


def _next_use(tx: Transaction) -> int:
    return int(tx.execute("SELECT coalesce(max(used), 0) + 1 FROM session")[0][0])


def save_session(
    tx: Transaction,
    keys: Keys,
    settings: ChatSettings,
    contact: str,
    session: OlmSession,
    ours: bytes,
    theirs: bytes,
    next_in: int = 0,
) -> None:
    """Remember a new session and let go of the oldest beyond the limit."""
    tx.execute("INSERT OR IGNORE INTO session_known (id) VALUES (?)", (session.id,))
    tx.execute(
        "INSERT INTO session (id, contact, pickle, ours, theirs, next_in, used) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            session.id,
            contact,
            session.pickle(keys.pickle_key),
            ours,
            theirs,
            next_in,
            _next_use(tx),
        ),
    )
    tx.execute(
        "DELETE FROM session WHERE contact = ? AND id NOT IN (SELECT id FROM session "
        "WHERE contact = ? ORDER BY used DESC, id LIMIT ?)",
        (contact, contact, settings.sessions),
    )


def start_session(
    tx: Transaction,
    keys: Keys,
    settings: ChatSettings,
    contact: str,
    account: OlmAccount,
    identity: bytes,
    olm_key: bytes,
) -> None:
    """Start a session of ours with a contact. Raises CryptoError for keys that start none."""
    session = account.outbound(identity, olm_key)
    save_session(tx, keys, settings, contact, session, account.identity_key, identity)


def encrypt_waiting(tx: Transaction, keys: Keys, settings: ChatSettings, most: int) -> int:
    """Encrypt up to `most` contents that wait for a frame; returns how many were."""
    done = 0
    contacts = tx.execute(
        "SELECT DISTINCT o.contact FROM outbox o JOIN contact c ON c.id = o.contact "
        "WHERE o.session IS NULL AND c.state IN ('waiting', 'active')"
    )
    for (contact,) in contacts:
        if done < most:
            done += _encrypt_for(tx, keys, settings, contact, most - done)
    return done


def _encrypt_for(
    tx: Transaction, keys: Keys, settings: ChatSettings, contact: str, most: int
) -> int:
    found = tx.execute(
        "SELECT s.id, s.pickle, s.ours, s.theirs, s.next_out, c.conversation, "
        "(SELECT count(*) FROM outbox WHERE session = s.id) "
        "FROM session s JOIN contact c ON c.id = s.contact "
        "WHERE s.contact = ? AND s.sends ORDER BY s.used DESC, s.id LIMIT 1",
        (contact,),
    )
    if not found:
        return 0
    identifier, pickle, ours, theirs, next_out, conversation, unacknowledged = found[0]
    room = min(most, settings.window - unacknowledged)
    rows = tx.execute(
        "SELECT number, content, body, sent_ms FROM outbox "
        "WHERE contact = ? AND session IS NULL ORDER BY number LIMIT ?",
        (contact, max(0, room)),
    )
    if not rows:
        return 0
    session = keys.crypto.load_session(pickle, keys.pickle_key)
    framed = []
    for sequence, (number, content, body, sent_ms) in enumerate(rows, next_out):
        payload = Payload(
            ours, theirs, conversation, content, keys.epoch, sent_ms, parse_body(body)
        )
        frame = session.encrypt(encode_payload(payload))
        framed.append((identifier, ours, sequence, frame, number))
    tx.many(
        "UPDATE outbox SET session = ?, ours = ?, sequence = ?, frame = ?, sealed = 0 "
        "WHERE number = ?",
        framed,
    )
    tx.execute(
        "UPDATE session SET pickle = ?, next_out = ? WHERE id = ?",
        (session.pickle(keys.pickle_key), next_out + len(rows), identifier),
    )
    return len(rows)


def place(tx: Transaction, session: bytes) -> int | None:
    """The next sequence number of a session; 0 for one that may still begin, None for one that is
    gone."""
    known = tx.execute("SELECT next_in FROM session WHERE id = ?", (session,))
    if known:
        return int(known[0][0])
    return None if tx.execute("SELECT 1 FROM session_known WHERE id = ?", (session,)) else 0


def assemble(
    tx: Transaction, part: Part, inbox: str, now_ms: int, settings: ChatSettings
) -> Frame | None:
    """Make a frame of a part; None while others of its parts are missing, or too many are held."""
    if part.count == 1:
        return _frame(part, part.data, inbox)
    if _crowded(tx, "held_part", inbox, settings):
        return None
    digest = hashlib.sha256(part.data).digest()[:8]
    tx.execute(
        "INSERT OR IGNORE INTO held_part VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            part.session,
            part.sequence,
            part.count,
            part.index,
            digest,
            part.data,
            part.identity,
            inbox,
            now_ms,
        ),
    )
    where = (part.session, part.sequence, part.count)
    rows = tx.execute(
        "SELECT part, data FROM held_part WHERE session = ? AND sequence = ? AND count = ? "
        "AND identity = ? ORDER BY part",
        (*where, part.identity),
    )
    if len({index for index, _ in rows}) < part.count:
        return None
    pieces: dict[int, bytes] = {int(index): data for index, data in rows}
    tx.execute("DELETE FROM held_part WHERE session = ? AND sequence = ? AND count = ?", where)
    return _frame(part, b"".join(pieces[i] for i in range(part.count)), inbox)


def _frame(part: Part, data: bytes, inbox: str) -> Frame:
    digest = hashlib.sha256(data).digest()[:16]
    return Frame(part.session, part.sequence, digest, data, part.identity, inbox)


def hold(tx: Transaction, frames: Iterable[Frame], now_ms: int, settings: ChatSettings) -> None:
    """Keep frames until their turn has come; what is beyond the limit is dropped."""
    for frame in frames:
        if not _crowded(tx, "held_frame", frame.inbox, settings):
            tx.execute(
                "INSERT OR IGNORE INTO held_frame VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    frame.session,
                    frame.sequence,
                    frame.digest,
                    frame.data,
                    frame.identity,
                    frame.inbox,
                    now_ms,
                ),
            )


def _crowded(tx: Transaction, table: str, inbox: str, settings: ChatSettings) -> bool:
    query = f"SELECT count(*) FROM {table} WHERE inbox = ?"  # noqa: S608 (two fixed names)
    return int(tx.execute(query, (inbox,))[0][0]) >= settings.held_limit


def first_frames(tx: Transaction, keys: Keys, session: bytes) -> Iterator[FirstFrame]:
    """Open the frames that could start this session, without taking it up."""
    rows = tx.execute(
        "SELECT f.digest, f.frame, f.identity, f.inbox, i.account, i.identity, i.invite, i.contact "
        "FROM held_frame f JOIN inbox i ON i.public = f.inbox "
        "WHERE f.session = ? AND f.sequence = 0",
        (session,),
    )
    for digest, frame, identity, inbox, pickle, ours, invite, contact in rows:
        try:
            if keys.crypto.session_of(frame) != session:
                raise CryptoError("A frame under the id of another session.")
            account = keys.crypto.load_account(pickle, keys.pickle_key)
            opened, plaintext = account.inbound(identity, frame)
            payload = parse_payload(plaintext)
            if payload.sender != identity or payload.recipient != ours:
                raise InvalidPayload("Its header names other keys.")
        except (CryptoError, InvalidPayload):
            _drop_frame(tx, session, 0, digest)
            continue
        yield FirstFrame(opened, account, identity, inbox, invite, contact, payload)


def take_up(
    tx: Transaction, keys: Keys, settings: ChatSettings, first: FirstFrame, contact: str
) -> None:
    """Take up the session of a first frame for a contact; its first content is the caller's."""
    ours = first.payload.recipient
    tx.execute(
        "UPDATE inbox SET account = ? WHERE public = ?",
        (first.account.pickle(keys.pickle_key), first.inbox),
    )
    save_session(tx, keys, settings, contact, first.session, ours, first.identity, next_in=1)
    tx.execute("DELETE FROM held_frame WHERE session = ? AND sequence = 0", (first.session.id,))


def drop_session_frames(tx: Transaction, session: bytes) -> None:
    """Forget everything held for a session that will not be taken up."""
    tx.execute("DELETE FROM held_frame WHERE session = ?", (session,))
    tx.execute("DELETE FROM held_part WHERE session = ?", (session,))


def _drop_frame(tx: Transaction, session: bytes, sequence: int, digest: bytes) -> None:
    tx.execute(
        "DELETE FROM held_frame WHERE session = ? AND sequence = ? AND digest = ?",
        (session, sequence, digest),
    )


def decrypt_ready(
    tx: Transaction,
    keys: Keys,
    settings: ChatSettings,
    session: bytes,
    frames: Iterable[Frame],
    now_ms: int,
    *,
    past_gaps: bool = False,
) -> list[Decrypted]:
    """Decrypt every frame of a session whose turn has come, and save the state.

    `frames` have just come; with those that are held already. Whose turn has not come is held. With
    `past_gaps` what is missing is given up and the rest decrypted in order.
    """
    found = tx.execute(
        "SELECT s.contact, s.pickle, s.ours, s.theirs, s.next_in, s.gap_ms, c.conversation "
        "FROM session s JOIN contact c ON c.id = s.contact WHERE s.id = ?",
        (session,),
    )
    if not found:
        return []
    contact, pickle, ours, theirs, next_in, gap_ms, conversation = found[0]
    held = tx.execute(
        "SELECT sequence, digest, frame FROM held_frame WHERE session = ? AND sequence >= ?",
        (session, next_in),
    )
    fresh = {(frame.sequence, frame.digest): frame for frame in frames}
    candidates = {(int(sequence), bytes(digest)): data for sequence, digest, data in held}
    candidates |= {key: frame.data for key, frame in fresh.items()}
    if not candidates:
        return []
    state: OlmSession | None = None
    came: list[Decrypted] = []
    start = next_in
    for (sequence, digest), frame in sorted(candidates.items()):
        if sequence < next_in:
            continue
        if sequence > next_in and not past_gaps:
            break
        state = state or keys.crypto.load_session(pickle, keys.pickle_key)
        try:
            plaintext = state.decrypt(frame)
        except CryptoError:
            if fresh.pop((sequence, digest), None) is None:
                _drop_frame(tx, session, sequence, digest)
            continue
        next_in = sequence + 1
        try:
            payload = parse_payload(plaintext)
        except InvalidPayload:
            continue
        if (payload.sender, payload.recipient, payload.conversation) == (
            theirs,
            ours,
            conversation,
        ):
            came.append(Decrypted(contact, session, payload))
    hold(tx, (one for one in fresh.values() if one.sequence >= next_in), now_ms, settings)
    tx.execute("DELETE FROM held_frame WHERE session = ? AND sequence < ?", (session, next_in))
    tx.execute("DELETE FROM held_part WHERE session = ? AND sequence < ?", (session, next_in))
    waits = bool(tx.execute("SELECT 1 FROM held_frame WHERE session = ? LIMIT 1", (session,)))
    moved = next_in > start
    tx.execute(
        "UPDATE session SET next_in = ?, gap_ms = ?, asked = CASE WHEN ? THEN 0 ELSE asked END "
        "WHERE id = ?",
        (
            next_in,
            (now_ms if moved or gap_ms is None else gap_ms) if waits else None,
            moved,
            session,
        ),
    )
    if state is not None and moved:
        tx.execute(
            "UPDATE session SET pickle = ?, used = ? WHERE id = ?",
            (state.pickle(keys.pickle_key), _next_use(tx), session),
        )
    return came

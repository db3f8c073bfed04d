"""The tables of the vault, as migrations. A released migration never changes; new ones are added.

Times are Unix milliseconds where a column ends in `_ms`, else Unix seconds. Ids and keys that are
only compared are BLOBs; ids that people's pages carry are hexadecimal TEXT.
"""

from __future__ import annotations

_CORE = (
    """CREATE TABLE setting (
        name TEXT PRIMARY KEY,
        value ANY
    ) STRICT, WITHOUT ROWID""",
    # One row for each inbox that we read: of an invite, or of a relationship.
    """CREATE TABLE inbox (
        public TEXT PRIMARY KEY,
        secret BLOB NOT NULL,
        account BLOB NOT NULL,
        identity BLOB NOT NULL,
        invite TEXT,
        contact TEXT,
        created_at INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE sealing (
        public BLOB PRIMARY KEY,
        secret BLOB NOT NULL,
        inbox TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        reset INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX sealing_inbox ON sealing (inbox, created_at)",
    """CREATE TABLE invite (
        id TEXT PRIMARY KEY,
        inbox TEXT NOT NULL,
        secret BLOB NOT NULL,
        bundle BLOB NOT NULL,
        link TEXT NOT NULL,
        event TEXT,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        multiple INTEGER NOT NULL,
        used INTEGER NOT NULL DEFAULT 0,
        contact TEXT,
        warned INTEGER NOT NULL DEFAULT 0,
        revoked INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    """CREATE TABLE contact (
        id TEXT PRIMARY KEY,
        conversation BLOB NOT NULL UNIQUE,
        name TEXT NOT NULL,
        given_name TEXT,
        state TEXT NOT NULL,
        inbox TEXT NOT NULL,
        identity BLOB NOT NULL,
        pending_identity BLOB,
        their_inbox TEXT NOT NULL,
        their_sealing BLOB NOT NULL,
        their_reset BLOB,
        their_reset_sealing BLOB,
        their_epoch BLOB,
        token BLOB,
        bucket INTEGER,
        verified INTEGER NOT NULL DEFAULT 0,
        muted INTEGER NOT NULL DEFAULT 0,
        pinned INTEGER NOT NULL DEFAULT 0,
        timer INTEGER NOT NULL DEFAULT 0,
        sent INTEGER NOT NULL DEFAULT 0,
        ack_due_ms INTEGER,
        created_at INTEGER NOT NULL,
        latest_ms INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE contact_relay (
        contact TEXT NOT NULL,
        url TEXT NOT NULL,
        PRIMARY KEY (contact, url)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE retired_epoch (
        contact TEXT NOT NULL,
        epoch BLOB NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (contact, epoch)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE session (
        id BLOB PRIMARY KEY,
        contact TEXT NOT NULL,
        pickle BLOB NOT NULL,
        ours BLOB NOT NULL,
        theirs BLOB NOT NULL,
        next_out INTEGER NOT NULL DEFAULT 0,
        next_in INTEGER NOT NULL DEFAULT 0,
        told_in INTEGER NOT NULL DEFAULT 0,
        used INTEGER NOT NULL DEFAULT 0,
        sends INTEGER NOT NULL DEFAULT 1,
        gap_ms INTEGER,
        asked INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX session_contact ON session (contact, used)",
    # Sessions that were ever taken up: a replayed first message finds its id here.
    "CREATE TABLE session_known (id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID",
    # What waits for the other side's receipt. `frame` is the Olm frame once it is encrypted.
    """CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        contact TEXT NOT NULL,
        content BLOB NOT NULL UNIQUE,
        type TEXT NOT NULL,
        body BLOB NOT NULL,
        sent_ms INTEGER NOT NULL,
        message TEXT,
        session BLOB,
        ours BLOB,
        sequence INTEGER,
        frame BLOB,
        bucket INTEGER,
        refused TEXT,
        expires_at INTEGER,
        sealed INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX outbox_unframed ON outbox (contact, number) WHERE session IS NULL",
    "CREATE INDEX outbox_unsealed ON outbox (number) WHERE sealed = 0 AND session IS NOT NULL",
    "CREATE INDEX outbox_frame ON outbox (session, sequence)",
    "CREATE INDEX outbox_contact ON outbox (contact, type)",
    "CREATE INDEX outbox_message ON outbox (message)",
    "CREATE INDEX outbox_refused ON outbox (contact, number) WHERE refused IS NOT NULL",
    """CREATE TABLE sealed (
        event TEXT PRIMARY KEY,
        outbox INTEGER NOT NULL,
        part INTEGER NOT NULL,
        taken INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX sealed_outbox ON sealed (outbox)",
    """CREATE TABLE held_part (
        session BLOB NOT NULL,
        sequence INTEGER NOT NULL,
        count INTEGER NOT NULL,
        part INTEGER NOT NULL,
        digest BLOB NOT NULL,
        data BLOB NOT NULL,
        identity BLOB NOT NULL,
        inbox TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (session, sequence, count, part, digest)
    ) STRICT""",
    """CREATE TABLE held_frame (
        session BLOB NOT NULL,
        sequence INTEGER NOT NULL,
        digest BLOB NOT NULL,
        frame BLOB NOT NULL,
        identity BLOB NOT NULL,
        inbox TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (session, sequence, digest)
    ) STRICT""",
    "CREATE INDEX held_frame_inbox ON held_frame (inbox)",
    """CREATE TABLE content_known (
        contact TEXT NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (contact, content)
    ) STRICT, WITHOUT ROWID""",
    # Envelopes that we have finished with: their relays are asked to delete them (NIP-09).
    """CREATE TABLE spent (
        number INTEGER PRIMARY KEY,
        event TEXT NOT NULL,
        inbox TEXT NOT NULL,
        due_ms INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX spent_inbox ON spent (inbox, due_ms)",
)

_CONVERSATION = (
    """CREATE TABLE message (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        contact TEXT NOT NULL,
        mine INTEGER NOT NULL,
        text TEXT NOT NULL,
        sent_ms INTEGER NOT NULL,
        sort_ms INTEGER NOT NULL,
        counter INTEGER NOT NULL,
        state TEXT NOT NULL,
        problem TEXT,
        notice TEXT,
        reply TEXT,
        edited_ms INTEGER,
        deleted INTEGER NOT NULL DEFAULT 0,
        once INTEGER NOT NULL DEFAULT 0,
        timer INTEGER NOT NULL DEFAULT 0,
        expires_ms INTEGER
    ) STRICT""",
    "CREATE INDEX message_order ON message (contact, sort_ms, counter, number)",
    "CREATE INDEX message_counter ON message (contact, mine, counter)",
    "CREATE INDEX message_unread ON message (contact) WHERE state = 'received'",
    "CREATE INDEX message_expiry ON message (expires_ms) WHERE expires_ms IS NOT NULL",
    # Messages of theirs that we have seen and not yet told them so.
    """CREATE TABLE seen (
        message TEXT PRIMARY KEY,
        contact TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE reaction (
        message TEXT NOT NULL,
        mine INTEGER NOT NULL,
        emoji TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (message, mine)
    ) STRICT, WITHOUT ROWID""",
    # A reaction, edit or deletion that came before its message.
    """CREATE TABLE early (
        contact TEXT NOT NULL,
        message TEXT NOT NULL,
        body BLOB NOT NULL,
        sent_ms INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX early_message ON early (message)",
    """CREATE TABLE file (
        id TEXT PRIMARY KEY,
        message TEXT NOT NULL,
        contact TEXT NOT NULL,
        place INTEGER NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        key BLOB,
        width INTEGER,
        height INTEGER,
        duration INTEGER,
        thumbnail BLOB,
        gone INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX file_message ON file (message)",
    """CREATE TABLE chunk (
        file TEXT NOT NULL,
        place INTEGER NOT NULL,
        name TEXT NOT NULL,
        size INTEGER NOT NULL,
        here INTEGER NOT NULL DEFAULT 0,
        taken INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (file, place)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX chunk_name ON chunk (name)",
    # Pieces of a chunk that travels as frames, where relays take no blobs.
    """CREATE TABLE piece (
        name TEXT NOT NULL,
        start INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (name, start)
    ) STRICT""",
    """CREATE TABLE journal (
        cursor INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        contact TEXT NOT NULL,
        message TEXT,
        new INTEGER NOT NULL
    ) STRICT""",
    "CREATE VIRTUAL TABLE words USING fts5(text, tokenize = 'unicode61 remove_diacritics 2')",
    "INSERT INTO words (words, rank) VALUES ('secure-delete', 1)",
)

_DELIVERIES = (
    """CREATE TABLE delivery (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        item TEXT NOT NULL,
        kind TEXT NOT NULL,
        relay TEXT NOT NULL,
        UNIQUE (item, relay)
    ) STRICT""",
    "CREATE INDEX delivery_relay ON delivery (relay, number)",
    """CREATE TABLE mark (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        item TEXT NOT NULL,
        relay TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE wanted (
        name TEXT NOT NULL,
        relay TEXT NOT NULL,
        size INTEGER NOT NULL,
        missing_at INTEGER,
        PRIMARY KEY (name, relay)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE relay_cursor (
        relay TEXT NOT NULL,
        inbox TEXT NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (relay, inbox)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE relay_facts (
        url TEXT PRIMARY KEY,
        max_content INTEGER,
        blossom INTEGER,
        guards_inboxes INTEGER,
        keys_per_connection INTEGER
    ) STRICT, WITHOUT ROWID""",
)

_HINTS = (
    # Places that the person lets contacts know; `contacts` is a list of ids, empty for all.
    """CREATE TABLE share (
        place TEXT PRIMARY KEY,
        contacts TEXT NOT NULL,
        told_at INTEGER,
        ended INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID""",
    # Places that contacts told us of.
    """CREATE TABLE hint (
        contact TEXT NOT NULL,
        place TEXT NOT NULL,
        until INTEGER NOT NULL,
        removed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (contact, place)
    ) STRICT, WITHOUT ROWID""",
    # When a contact told us last, and what it knows from us, since when.
    """CREATE TABLE hint_peer (
        contact TEXT PRIMARY KEY,
        heard_ms INTEGER NOT NULL DEFAULT 0,
        version INTEGER NOT NULL DEFAULT 0,
        told TEXT NOT NULL DEFAULT '[]',
        told_at INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID""",
    # Heard relays that we read at because our own are gone; `works` once contacts know it.
    """CREATE TABLE hint_use (
        url TEXT PRIMARY KEY,
        works INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID""",
    # Relays that cannot be reached, known while heard ones are used.
    "CREATE TABLE relay_gone (url TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
)

SCHEMA: tuple[tuple[str, ...], ...] = (_CORE + _CONVERSATION + _DELIVERIES, _HINTS)
"""The statements of each version, the first being version 1."""

"""Contacts, invites, ratchets, conversations. Only adds to and watches the store."""

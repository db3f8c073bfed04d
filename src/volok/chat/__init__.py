"""Contacts, invites, ratchets, conversations and their content. Only adds to and watches the store."""

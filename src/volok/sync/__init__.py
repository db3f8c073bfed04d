"""The nostr protocol for both roles, and bundles: a pure core with a ring of I/O around it."""

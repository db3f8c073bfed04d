"""The nostr protocol for both roles, bundles: pure; session.py alone does I/O."""

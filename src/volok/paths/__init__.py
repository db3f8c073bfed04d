"""Byte carriers. A path declares capabilities; nobody above asks for its name."""

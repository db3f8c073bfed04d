"""Homes of people and the command line, as the tests of the app have them."""

from tests.app.conftest import new_home, relay

__all__ = ["new_home", "relay"]

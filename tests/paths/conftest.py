"""Tests that are marked so run on a clock of their own."""

from tests.own_time import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]

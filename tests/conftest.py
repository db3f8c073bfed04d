"""What all tests share: property tests that are the same on every run and know no hurry."""

import pytest
from hypothesis import settings

settings.register_profile("volok", derandomize=True, deadline=None)
settings.load_profile("volok")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "own_time: on a clock of its own, see tests/own_time.py")

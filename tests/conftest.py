"""What all tests share: property tests that are the same on every run and know no hurry."""

from hypothesis import settings

settings.register_profile("volok", derandomize=True, deadline=None)
settings.load_profile("volok")

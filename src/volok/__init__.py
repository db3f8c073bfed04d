"""Volok: private messaging and publishing that keeps moving when the internet is blocked."""

__version__ = "0.1.0"

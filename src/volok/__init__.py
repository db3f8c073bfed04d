"""Volok: private messaging and publishing that keeps moving when the internet is blocked.

Bots and bridges use `volok.Node`; see `volok.app.api`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from volok.app.api import Node as Node

__version__ = "0.1.0"

__all__ = ["Node", "__version__"]


def __getattr__(name: str) -> object:
    # The node pulls in the whole program; `import volok` alone stays cheap (PEP 562).
    if name == "Node":
        return importlib.import_module("volok.app.api").Node
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

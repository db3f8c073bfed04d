"""The web app runs where there is no native module, no thread and no socket of its own."""

from __future__ import annotations

import subprocess
import sys

NATIVE = ("apsw", "argon2", "coincurve", "cryptography", "orjson", "PIL", "uvloop", "vodozemac",
          "websockets", "uvicorn")  # fmt: skip

PROGRAM = f"""
import sys
for name in {NATIVE!r}:
    sys.modules[name] = None
import volok.app.web
from volok.app.web.render import environments
from volok.app.web.i18n import language
assert language("ru").gettext("Settings") == "Настройки"
import threading
assert threading.active_count() == 1
"""


def test_without_native_modules() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr

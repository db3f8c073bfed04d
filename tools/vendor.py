"""Fetch the browser libraries that package-lock.json pins and copy them into the web app.

Run it once after cloning and whenever the lock file changes: `python tools/vendor.py`. Nothing that
it writes is committed; `vendor/versions.json` says what was copied.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "src" / "volok" / "app" / "web" / "vendor"
FILES = {
    "htmx.org": ("dist/htmx.min.js", "LICENSE"),
    "htmx-ext-sse": ("dist/sse.min.js", "LICENSE"),
    "jsqr": ("dist/jsQR.js", "LICENSE"),
    "qr": ("decode.js", "index.js", "LICENSE"),
}
"""What is copied from each package; a licence gets its package's name."""


def main() -> None:
    """Install exactly what the lock file says, then copy. Raises when a package lacks a file."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is needed to fetch the browser libraries; install Node.js.")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=ROOT, check=True)
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    versions = {}
    for package, names in FILES.items():
        source = ROOT / "node_modules" / package
        versions[package] = json.loads((source / "package.json").read_bytes())["version"]
        for name in names:
            copied = f"{package}.LICENSE" if name == "LICENSE" else Path(name).name
            shutil.copyfile(source / name, TARGET / copied)
    (TARGET / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Fuzz every parser, guided by coverage, for a number of seconds each.

    python fuzz/run.py [--seconds N] [TARGET ...]

Needs `atheris` from PyPI. Starts from fuzz/corpus/TARGET, keeps what it finds in a directory of
its own (--work), and exits with 1 when a target failed; the input that did it is kept there.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def fuzz_one(name: str, arguments: list[str]) -> None:
    """Fuzz one target in this process; libFuzzer ends the process."""
    import atheris  # noqa: PLC0415  # the parent process runs without it

    with atheris.instrument_imports(include=["volok"]):
        from targets import TARGETS  # noqa: PLC0415  # instrumented while it is imported
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


def fuzz_all(names: list[str], seconds: int, work: Path) -> list[str]:
    """Fuzz targets one after the other; returns the names of those that failed."""
    failed = []
    for name in names:
        found = work / name
        found.mkdir(parents=True, exist_ok=True)
        arguments = [
            f"-max_total_time={seconds}",
            f"-artifact_prefix={found}/failed-",
            "-timeout=5",
            "-verbosity=0",
            "-print_final_stats=1",
            str(found),
            str(HERE / "corpus" / name),
        ]
        print(f"{name}:", flush=True)
        command = [sys.executable, __file__, "--only", name, *arguments]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    return failed


def main() -> int:
    """The command line."""
    if sys.argv[1:2] == ["--only"]:
        fuzz_one(sys.argv[2], sys.argv[3:])
    known = sorted(path.name for path in (HERE / "corpus").iterdir())
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(known))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--work", type=Path, help="where to keep what is found")
    given = parser.parse_args()
    if unknown := set(given.targets) - set(known):
        parser.error(f"unknown target: {', '.join(sorted(unknown))}")
    work = given.work or Path(tempfile.mkdtemp(prefix="volok-fuzz-"))
    failed = fuzz_all(given.targets or known, given.seconds, work)
    if failed:
        print(f"Failed: {', '.join(failed)}. The inputs are in {work}.")
        return 1
    if given.work is None:
        shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())

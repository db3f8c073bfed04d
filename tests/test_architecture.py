"""The rules of the house, checked: who may import whom, purity, sizes, names and documentation.

The tests look at whatever modules exist when they run.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
MAX_LINES = 400
CORES_OF_SYNC = ("volok.sync.client", "volok.sync.messages", "volok.sync.bundle")
"""What is pure in sync: these and all that they import. The rest holds connections and timers."""
VAGUE_NAMES = {"util", "utils", "helper", "helpers", "common", "misc"}

STANDARD_IMPURE = {"socket", "ssl", "threading", "subprocess", "multiprocessing"}
CLOCK_AND_CHANCE = {"time", "random", "secrets", "uuid"}
"""The clock and the generator are handed in, so that tests and browsers can hand in theirs."""

# Besides every compiled module, which the import hook finds by itself.
BROWSERLESS = (
    *("apsw", "argon2", "coincurve", "cryptography", "lmdb", "nostr_sdk", "orjson", "PIL"),
    *("pydantic", "uvicorn", "uvloop", "vodozemac", "httpx", "httpcore", "websockets"),
    *("ctypes", "fcntl", "mmap", "multiprocessing", "sqlite3", "termios", "tzdata"),
    "volok.native",
)

IN_A_BROWSER = """
import importlib, importlib.abc, importlib.machinery, sys, threading

blocked, wanted = sys.argv[1].split(), sys.argv[2].split()

class Browser(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if any(name == b or name.startswith(b + ".") for b in blocked):
            raise ImportError(f"{name} does not exist in a browser")
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        native = spec and isinstance(spec.loader, importlib.machinery.ExtensionFileLoader)
        if native and "site-packages" in spec.origin:
            raise ImportError(f"{name} is compiled: it does not exist in a browser")
        return None

def refuse(event, *arguments):
    if event in ("thread", "socket.__new__", "subprocess.Popen", "os.fork"):
        raise RuntimeError(f"{event} while importing")

sys.meta_path.insert(0, Browser())
sys.addaudithook(refuse)
threading.Thread.start = lambda thread: refuse("thread")
for name in wanted:
    importlib.import_module(name)
"""


def modules(*packages: str) -> Iterator[Path]:
    """The source files of the given packages (dotted; all of volok by default)."""
    for package in packages or ("volok",):
        yield from sorted((SRC / package.replace(".", "/")).rglob("*.py"))


def module_name(path: Path) -> str:
    """The dotted name of a source file."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def pure_sync() -> Iterator[Path]:
    """The source files of the cores of sync, and of all modules of sync that they import."""
    found: set[str] = set()
    waiting = set(CORES_OF_SYNC)
    while waiting:
        name = waiting.pop()
        found.add(name)
        path = SRC / (name.replace(".", "/") + ".py")
        yield path
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("volok.sync."):
                waiting |= {str(node.module)} - found


def imported(tree: ast.Module) -> set[str]:
    """The first parts of all absolute names that a module imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def late_imports(tree: ast.Module) -> list[int]:
    """The lines of imports that stand inside a function."""
    return [
        inner.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]


def undocumented(tree: ast.Module) -> list[str]:
    """The public classes and functions of a module, and itself, that have no docstring."""
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
    ]
    missing = [node.name for node in public if not ast.get_docstring(node)]
    return missing if ast.get_docstring(tree) else ["the module", *missing]


def settings_faults(node: ast.ClassDef) -> list[str]:
    """What is wrong with a settings class: it is frozen, and a docstring follows each field."""
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    faults = [] if any("frozen=True" in d for d in decorators) else [f"{node.name} is not frozen"]
    for field, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and not (
            isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            faults.append(f"{node.name}.{ast.unparse(field.target)} is not documented")
    return faults


def is_sentence(text: str) -> bool:
    """Whether a text begins and ends as a sentence for a person does."""
    first = text.partition("\n\n")[0]
    return first[:1].isupper() and first.rstrip().endswith((".", "?"))


def parse(path: Path) -> ast.Module:
    """The syntax tree of a source file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def report(faults: list[str]) -> None:
    """Fail with all faults at once."""
    assert not faults, "\n" + "\n".join(faults)


def test_import_contracts() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def in_a_browser(names: list[str], path: Path = SRC) -> subprocess.CompletedProcess[str]:
    """Import modules in a fresh interpreter that has nothing a browser lacks."""
    return subprocess.run(
        [sys.executable, "-c", IN_A_BROWSER, " ".join(BROWSERLESS), " ".join(names)],
        cwd=ROOT,
        env={"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("package", ["volok.model", "volok.chat", "volok.sync", "volok.app.web"])
def test_imports_without_native_modules(package: str) -> None:
    paths = pure_sync() if package == "volok.sync" else modules(package)
    names = [module_name(path) for path in paths]
    assert names, f"{package} does not exist"
    result = in_a_browser(names)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["volok.native", "apsw", "orjson", "markupsafe._speedups"])
def test_native_modules_are_found_out(name: str) -> None:
    result = in_a_browser([name])
    assert result.returncode != 0
    assert "does not exist in a browser" in result.stderr


@pytest.mark.parametrize(
    "line",
    [
        "import threading; threading.Thread(target=print).start()",
        "import socket; socket.socket()",
        "import subprocess; subprocess.run(['true'])",
    ],
)
def test_side_effects_of_imports_are_found_out(line: str, tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(line)
    result = in_a_browser(["busy"], tmp_path)
    assert result.returncode != 0
    assert "while importing" in result.stderr


def test_pure_packages_have_no_clock_chance_or_io() -> None:
    faults = []
    for paths, forbidden in (
        (modules("volok.model"), STANDARD_IMPURE | CLOCK_AND_CHANCE | {"asyncio", "os"}),
        (pure_sync(), STANDARD_IMPURE | CLOCK_AND_CHANCE | {"asyncio", "os"}),
        (modules("volok.chat"), STANDARD_IMPURE | CLOCK_AND_CHANCE),
        (modules("volok.app.web"), STANDARD_IMPURE | {"random"}),
    ):
        for path in paths:
            found = imported(parse(path)) & forbidden
            faults += [f"{module_name(path)} imports {name}" for name in sorted(found)]
    report(faults)


def test_browser_code_derives_no_keys_with_hashlib() -> None:
    """scrypt and pbkdf2 of hashlib do not exist in Python for browsers."""
    report(
        [
            f"{module_name(path)} uses {node.attr}"
            for path in modules("volok.model", "volok.chat", "volok.sync", "volok.app.web")
            for node in ast.walk(parse(path))
            if isinstance(node, ast.Attribute) and node.attr in ("scrypt", "pbkdf2_hmac")
        ]
    )


def test_modules_are_small_and_named_for_what_they_do() -> None:
    faults = []
    for path in modules():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES:
            faults.append(f"{module_name(path)} has {lines} lines")
        if VAGUE_NAMES & set(path.with_suffix("").parts[-2:]):
            faults.append(f"{module_name(path)} is named for nothing")
    report(faults)


def test_imports_stand_at_the_top() -> None:
    report(
        [
            f"{module_name(path)}:{line} imports late"
            for path in modules()
            for line in late_imports(parse(path))
        ]
    )


def test_everything_public_is_documented() -> None:
    report(
        [
            f"{module_name(path)}: {name} has no docstring"
            for path in modules()
            for name in undocumented(parse(path))
        ]
    )


def test_settings_are_frozen_and_documented() -> None:
    report(
        [
            f"{module_name(path)}: {fault}"
            for path in modules()
            for node in ast.walk(parse(path))
            if isinstance(node, ast.ClassDef) and node.name.endswith("Settings")
            for fault in settings_faults(node)
        ]
    )


def test_errors_are_sentences() -> None:
    """The docstring of an error class is what the person reads."""
    classes = [
        (path, node)
        for path in modules()
        for node in parse(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    errors = {"Exception", "ValueError", "OSError", "RuntimeError"}
    for _ in range(3):  # a base may stand in another module
        errors |= {
            node.name for _, node in classes if {ast.unparse(base) for base in node.bases} & errors
        }
    found = [(path, node) for path, node in classes if node.name in errors]
    assert found
    report(
        [
            f"{module_name(path)}: {node.name} says no sentence"
            for path, node in found
            if not is_sentence(ast.get_docstring(node) or "")
        ]
    )


BAD = '''
import os.path
from random import choice

class LooseSettings:
    """Settings."""
    port: int = 0
    host: str = ""
    """Where."""

def late():
    import time
'''


def test_the_checks_can_fail() -> None:
    tree = ast.parse(BAD)
    assert imported(tree) == {"os", "random", "time"}
    assert late_imports(tree) == [12]
    assert undocumented(tree) == ["the module", "late"]
    loose = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    assert settings_faults(loose) == [
        "LooseSettings is not frozen",
        "LooseSettings.port is not documented",
    ]
    assert not is_sentence("raised when it fails")
    assert is_sentence("The disk is full. Free some space.")

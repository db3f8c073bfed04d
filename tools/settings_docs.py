"""Writes docs/settings.md from the settings classes in src: fields, defaults and docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "settings.md"

HEAD = """\
# Settings

Written by `make docs` from the docstrings; a test compares the two. These are the numbers that the
program works with. What a person changes in daily use stands on the settings page of the web app,
and what an operator passes to `volok relay` stands in [cli.md](cli.md); the rest is for people who
embed Volok or run it in tests.
"""


def settings_classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """Yield (dotted module, class) for every class in src whose name ends with Settings."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
                yield module.removesuffix(".__init__"), node


def cell(text: str) -> str:
    """Text as it may stand in a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def fields(node: ast.ClassDef) -> Iterator[tuple[str, str, str, str]]:
    """Yield (name, type, default, docstring) of each field of a settings class."""
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign):
            continue
        meaning = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            meaning = str(after.value.value)
        default = ast.unparse(field.value) if field.value else ""
        yield ast.unparse(field.target), ast.unparse(field.annotation), default, meaning


def render() -> str:
    """The text of docs/settings.md."""
    parts = [HEAD]
    for module, node in settings_classes():
        rows = [
            f"| `{name}` | `{cell(kind)}` | {f'`{cell(default)}`' if default else ''} "
            f"| {cell(meaning)} |"
            for name, kind, default, meaning in fields(node)
        ]
        table = ["| Field | Type | Default | Meaning |", "|---|---|---|---|", *rows]
        parts.append(
            f"## {node.name}\n\n`{module}`: {cell(ast.get_docstring(node) or '')}\n\n"
            + "\n".join(table)
            + "\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")

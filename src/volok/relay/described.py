"""The fields of a settings class with their docstrings, read from its source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, get_type_hints


@dataclass(frozen=True, slots=True)
class DescribedField:
    """One field of a dataclass."""

    name: str
    kind: Any
    """Its type."""
    default: Any
    meaning: str
    """Its docstring on one line."""


@cache
def described(settings: type) -> tuple[DescribedField, ...]:
    """The fields of a dataclass whose fields all have defaults, in order."""
    body = ast.parse(textwrap.dedent(inspect.getsource(settings))).body[0]
    assert isinstance(body, ast.ClassDef)
    meanings: dict[str, str] = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            meanings[field.target.id] = " ".join(str(after.value.value).split())
    kinds = get_type_hints(settings)
    return tuple(
        DescribedField(one.name, kinds[one.name], one.default, meanings.get(one.name, ""))
        for one in fields(settings)
    )

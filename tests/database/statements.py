"""Every statement in sttbatch.database."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import sttbatch.database

COMPOSED = {"copying"}
"""Modules whose statements are about any table."""

STORES = {
    "migrations", "postgresql", "postgresql_connections", "search_index", "search_postgresql",
    "search_sqlite", "sqlite_file",
}  # fmt: skip
"""Modules of the databases themselves, each with statements for one."""

_STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s")
_MARK = re.compile(r"'(?:[^']|'')*'|\?|(?<!:):([a-z_]\w*)")


def modules() -> list[ModuleType]:
    names = [each.name for each in pkgutil.iter_modules(sttbatch.database.__path__)]
    return [importlib.import_module(f"sttbatch.database.{name}") for name in names]


def statements() -> dict[str, str]:
    """Statements with their modules: constants, those composed at import, those in functions."""
    found: dict[str, str] = {}
    for module in modules():
        name = module.__name__.rpartition(".")[2]
        if name in STORES | COMPOSED or name.endswith("_schema"):
            continue
        assert module.__file__ is not None
        tree = ast.parse(Path(module.__file__).read_text("utf-8"))
        functions = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        inside = (text for node in functions for text in _written(node, vars(module)))
        for text in (*_held(vars(module)), *inside):
            # What has a brace is filled in elsewhere.
            if _STATEMENT.match(text) and "{" not in text:
                found.setdefault(_expanded(" ".join(text.split())), name)
    return found


def values(statement: str) -> list[object] | dict[str, object]:
    """A value for each placeholder."""
    found = [match for match in _MARK.finditer(statement) if not match[0].startswith("'")]
    names = [match[1] for match in found]
    if any(names):
        return dict.fromkeys(names)
    # The type of a value in a row is that of the value.
    return [b"" if "AS (VALUES (?" in statement else None] * len(found)


def _expanded(statement: str) -> str:
    """Two values in place of many."""
    return statement.replace("VALUES ?*", "VALUES (?, ?), (?, ?)").replace("?*", "?, ?")


def _held(value: object) -> Iterator[str]:
    """Strings in a module's or a class's names, and in containers of them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _held(each)
    elif isinstance(value, tuple | list | set | frozenset):
        for each in value:
            yield from _held(each)
    elif isinstance(value, type) and value.__module__.startswith("sttbatch.database."):
        yield from _held(dict(vars(value)))


def _written(node: ast.AST, names: Mapping[str, object]) -> Iterator[str]:
    """String literals; what a function fills in counts as one more placeholder."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(_filled(part, names) for part in node.values)
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from _written(child, names)


def _filled(part: ast.expr, names: Mapping[str, object]) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    try:
        return str(eval(ast.unparse(part.value), dict(names)))
    except NameError:
        return "?"

"""Prints every text that a user can meet, where it stands in the code and what it is used for.

    python docs/messages.py [WORD]...

Each line is `file:line: use: text`; with words, only those whose line has one of them. The use is
the call, argument or name that takes the text: an error's class, `help`, `warn`. Fields that
are filled in stand as `{name}`. SQL, docstrings other than commands', and names are left out.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parent.parent / "src" / "sttbatch"
COMMANDS = SOURCE / "cli" / "commands"
_SQL = re.compile(
    r"\s*(--|[,(]|AND |CASE |COALESCE|CREATE |DELETE |DROP |FROM |INSERT |JOIN |LEFT JOIN |ON "
    r"|ORDER |PRAGMA |SELECT |SET |SUM\(|UPDATE |VALUES |WHERE |WITH )"
)
_WORDS = re.compile(r"[^\W\d_]{2,}")
_USED_ALONE = {"help", "metavar"}
"""Arguments whose texts count even when they are one word."""


class Message(NamedTuple):
    """One text, in the file `path`, relative to the package."""

    path: str
    line: int
    use: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.use}: {self.text}"


def messages() -> list[Message]:
    """All texts, by file and line."""
    return [message for path in sorted(SOURCE.rglob("*.py")) for message in _in_file(path)]


def _in_file(path: Path) -> Iterator[Message]:
    tree = ast.parse(path.read_text("utf-8"))
    name = str(path.relative_to(SOURCE))
    for node in tree.body:
        if path.parent == COMMANDS and isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node)
            if docstring and not node.name.startswith("_"):
                yield Message(name, node.lineno, "command", " ".join(docstring.split()))
    for line, use, text in sorted(_texts(tree, "")):
        spoken = " " in text.strip() and len(_WORDS.findall(text)) > 1
        if use in _USED_ALONE or (spoken and not _SQL.match(text)):
            yield Message(name, line, use, " ".join(text.split()))


def _texts(node: ast.AST, use: str) -> Iterator[tuple[int, str, str]]:
    """Line, use and text of each literal in `node`; `use` is that of what surrounds it."""
    match node:
        case ast.Expr(ast.Constant()):
            # A docstring.
            return
        case ast.Constant(str(text)):
            yield node.lineno, use, text
        case ast.JoinedStr(values):
            yield node.lineno, use, "".join(map(_piece, values))
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
            yield from _texts(child, _use(node) or use)


def _use(node: ast.AST) -> str | None:
    """What takes the texts in `node`; None: what surrounds it."""
    match node:
        case ast.Call(function):
            return ast.unparse(function).rpartition(".")[2]
        case ast.keyword(str(name)) | ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
            return name
        case ast.Assign([ast.Name(name)]) | ast.AnnAssign(ast.Name(name)):
            return name
    return None


def _piece(value: ast.expr) -> str:
    match value:
        case ast.Constant(text):
            return str(text)
        case ast.FormattedValue(expression):
            return "{" + ast.unparse(expression) + "}"
    return ""


if __name__ == "__main__":
    words = sys.argv[1:]
    for message in messages():
        if not words or any(word in str(message) for word in words):
            sys.stdout.write(f"{message}\n")

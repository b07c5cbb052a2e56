"""Every name in docs/architecture.md and docs/glossary.md exists in the code."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from sttbatch.core.options import OUTPUT_FORMATS
from sttbatch.outputs.formats import FORMATS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "sttbatch"
PAGES = ("architecture.md", "glossary.md")

_PATH = re.compile(r"[\w.-]*(/[\w.-]*)+")
_FILE = re.compile(r"[\w.-]+\.(db|md|toml|py|txt)|Makefile")
_NAME = re.compile(r"\w+(\.\w+)+|[A-Z]\w*[a-z]\w*|[A-Z]+_[A-Z_]+")


def names_in(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """What a module or a class binds, and the statement that does."""
    for statement in body:
        match statement:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield statement.name, statement
            case ast.Assign():
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        yield target.id, statement
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, statement
            case ast.ImportFrom():
                for each in statement.names:
                    yield each.asname or each.name, statement


@cache
def module(path: Path) -> dict[str, ast.stmt]:
    return dict(names_in(ast.parse(path.read_text("utf-8")).body))


@cache
def everywhere() -> dict[str, list[ast.stmt]]:
    """By name, what modules define under it."""
    known = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        for name, statement in module(path).items():
            if not isinstance(statement, ast.ImportFrom):
                known[name].append(statement)
    return known


def has(statement: ast.stmt, parts: list[str]) -> bool:
    """Whether a class has a method, a field or a constant of this name."""
    if not parts:
        return True
    return (
        len(parts) == 1
        and isinstance(statement, ast.ClassDef)
        and parts[0] in dict(names_in(statement.body))
    )


def name_exists(name: str) -> bool:
    """`room.module.Class.method` from the package on, or `Class.method` of any module."""
    parts = name.split(".")
    if parts[0] in everywhere():
        return any(has(each, parts[1:]) for each in everywhere()[parts[0]])
    path = SOURCE
    while parts and (path / parts[0]).is_dir():
        path /= parts.pop(0)
    if not parts:
        return path != SOURCE
    file = path / f"{parts[0]}.py"
    if file.is_file():
        del parts[0]
    else:
        file = path / "__init__.py"
    if not parts:
        return True
    found = module(file).get(parts[0]) if file.is_file() else None
    if isinstance(found, ast.ImportFrom):
        return name_exists(".".join(parts))
    return found is not None and has(found, parts[1:])


def exists(span: str) -> bool | None:
    """Whether what stands in a code span is there; None: it is no name or path of ours."""
    if _FILE.fullmatch(span):
        source = (path.read_text("utf-8") for path in SOURCE.rglob("*.py"))
        return (ROOT / span).is_file() or any(f'"{span}"' in text for text in source)
    if _PATH.fullmatch(span):
        return any((folder / span).exists() for folder in (ROOT, SOURCE))
    if _NAME.fullmatch(span):
        return name_exists(span)
    return None


def spans(text: str) -> Iterator[tuple[int, str]]:
    """(line, code span) of a page; blocks are drawings and commands."""
    in_block = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_block = not in_block
        elif not in_block:
            for span in re.findall(r"`([^`]+)`", line):
                yield number, span


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    missing = [f"{page}:{line}: {span}" for line, span in spans(text) if exists(span) is False]
    assert not missing, "\n".join(missing)
    assert sum(exists(span) is True for _, span in spans(text)) > 40


@pytest.mark.parametrize("page", [*(f"docs/{page}" for page in PAGES), "CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    here = ROOT / page
    for link in re.findall(r"\]\(([^):]+)\)", here.read_text("utf-8")):
        name, _, anchor = link.partition("#")
        target = here.parent / name if name else here
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


def anchors(text: str) -> set[str]:
    """Of headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_every_room_is_drawn() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rooms = [path.parent.relative_to(SOURCE) for path in SOURCE.glob("*/**/__init__.py")]
    assert [str(room) for room in rooms if not re.search(rf"\b{room.name}\b", text)] == []


def test_the_glossary_is_alphabetical() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    words = re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE)
    assert words == sorted(set(words), key=str.lower)


@pytest.mark.parametrize(
    "name",
    ["execution.pay_twice", "execution.pay_once.PayOnce.resell", "PayOnce.resell", "PayThrice",
     "core.ports.PiggyBank", "OUTPUT_FLAVOURS", "execution/pay_twice.py", "piggy.db"],
)  # fmt: skip
def test_a_made_up_name_is_noticed(name: str) -> None:
    assert exists(name) is False


@pytest.mark.parametrize(
    "name",
    ["execution", "core.ports", "core.ports.WorkLedger.claim", "PayOnce.result",
     "core.options.OUTPUT_FORMATS", "docs/glossary.md", "execution/pay_once.py", "ledger.db"],
)  # fmt: skip
def test_a_name_that_is_there_is_found(name: str) -> None:
    assert exists(name) is (None if name == "execution" else True)


def test_a_format_is_registered_where_the_page_says() -> None:
    assert tuple(FORMATS) == OUTPUT_FORMATS


def test_nothing_that_works_is_given_more_than_eight_collaborators() -> None:
    given = {
        f"{path.stem}.{each.name}": len(collaborators(each))
        for path in SOURCE.rglob("*.py")
        for each in module(path).values()
        if isinstance(each, ast.ClassDef)
    }
    assert max(given.values()) > 5
    assert {name: count for name, count in given.items() if count > 8} == {}


def collaborators(definition: ast.ClassDef) -> list[str]:
    """What a class with methods has to be given, other than texts and numbers."""
    methods = [
        each for each in definition.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    own = [each.args for each in methods if each.name == "__init__"]
    if own:
        given = own[0].args[1 : len(own[0].args) - len(own[0].defaults)]
        given += [
            each
            for each, default in zip(own[0].kwonlyargs, own[0].kw_defaults, strict=True)
            if default is None
        ]
        types = [ast.unparse(each.annotation) for each in given if each.annotation is not None]
    else:
        fields = (each for each in definition.body if isinstance(each, ast.AnnAssign))
        types = [ast.unparse(each.annotation) for each in fields if each.value is None]
    return [each for each in types if re.match(r"[\w.]*[A-Z]", each)] if methods else []


def test_no_two_modules_import_one_another() -> None:
    paths = {
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts): path
        for path in SOURCE.rglob("*.py")
    }
    imports = {
        name: {
            each.module
            for each in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(each, ast.ImportFrom)
        }
        for name, path in paths.items()
    }
    pairs = {(a, b) for a in imports for b in imports[a] if b in imports and a in imports[b]}
    assert pairs == set()


def test_the_registry_of_kinds_knows_none_of_them() -> None:
    text = (SOURCE / "kinds" / "registry.py").read_text("utf-8")
    assert "from sttbatch.kinds" not in text

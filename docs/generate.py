"""Writes docs/cli.md, the command reference, and docs/json.md from the code.

    python docs/generate.py [--check]

With --check nothing is written; exit 1 when a file is stale.
"""

from __future__ import annotations

import html
import os
import sys
from pathlib import Path

# Without them the text would follow the terminal that it is made in.
os.environ.update(TERM="dumb", NO_COLOR="1", COLUMNS="100")

import typer
from rich.text import Text
from schemas import json_page
from typer.cli import get_docs_for_click

from sttbatch.cli.app import program

FOLDER = Path(__file__).parent
HEAD = "<!-- Made by `make docs` from the code; change it there. -->\n\n"


def reference() -> str:
    """The whole page."""
    root = typer.main.get_command(program())
    context = typer.Context(root, info_name="sttbatch")
    _as_plain_text(root)
    page = get_docs_for_click(obj=root, ctx=context, name="sttbatch")
    # What it escapes stands in code spans or is an apostrophe.
    return HEAD + html.unescape(page).rstrip() + "\n"


def _as_plain_text(command: object) -> None:
    """Help texts without rich's markup, and whole: lists of commands cut them at 45 characters."""
    for each in getattr(command, "params", ()):
        each.help = Text.from_markup(getattr(each, "help", None) or "").plain
    for each in getattr(command, "commands", {}).values():
        each.short_help = (each.help or "").strip().splitlines()[0]
        _as_plain_text(each)


def main() -> None:
    for name, page in {"cli.md": reference(), "json.md": HEAD + json_page()}.items():
        target = FOLDER / name
        if "--check" not in sys.argv[1:]:
            target.write_text(page, "utf-8")
        elif not target.is_file() or target.read_text("utf-8") != page:
            sys.exit(f"{name} is stale; run `make docs`")


if __name__ == "__main__":
    main()

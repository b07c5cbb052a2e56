"""The program `sttbatch`: its commands, and the printing of errors."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Annotated

import typer

from sttbatch.cli.console import stdio
from sttbatch.cli.console.text import printable
from sttbatch.cli.exit_codes import SOME_FAILED, error_exit_code
from sttbatch.core.errors import SttbatchError
from sttbatch.core.version import __version__

COMMANDS = (
    "transcribe", "watch", "submit", "worker", "workers", "search", "summarize", "translate",
    "index", "eval", "import", "stats", "schema", "models", "doctor",
)  # fmt: skip
GROUPS = ("alerts", "cache", "config", "database", "jobs", "speakers")
"""Commands with commands of their own."""

_EXAMPLES = """Examples:

    sttbatch transcribe talks --engine local   # offline, by the local engine
    sttbatch transcribe talks -f txt,srt       # by Cloud.ru, with subtitles
    sttbatch search "release date" talks       # where it was said, and when"""

_IMPORTING = 200_000
"""New objects before garbage is collected: modules are none, nor what is found in a folder."""

_SWITCH_S = 0.001
"""After so long a thread of a database gets its turn beside one that imports: it needs many."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sttbatch {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the program, before a command."""


def program(names: Sequence[str] = (*COMMANDS, *GROUPS)) -> typer.Typer:
    """The program with these commands, whose modules are imported."""
    app = typer.Typer(
        name="sttbatch",
        help="Transcribe folders of recordings with Cloud.ru's speech recognition. "
        "Nothing is paid for twice.",
        epilog=_EXAMPLES,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for name in names:
        # That of a module in `cli.commands`, and of its function.
        identifier = f"{name}_" if iskeyword(name) else name
        module = import_module(f"sttbatch.cli.commands.{identifier}")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
        else:
            app.command(name, cls=getattr(module, "COMMAND", None))(getattr(module, identifier))
    return app


def main() -> None:
    """Run the command line, and exit the process."""
    stdio.keep_open()
    gc.set_threshold(_IMPORTING)
    sys.setswitchinterval(_SWITCH_S)
    # Collecting garbage at exit would take as long as a request.
    atexit.register(gc.freeze)
    # The other commands are only needed for help and completion.
    named = [name for name in sys.argv[1:2] if name in {*COMMANDS, *GROUPS}]
    try:
        (program(named) if named else program())(prog_name="sttbatch")
    except SttbatchError as error:
        print(f"sttbatch: {printable(str(error))}", file=sys.stderr)  # noqa: T201
        sys.exit(error_exit_code(error))
    except BrokenPipeError:
        stdio.discard_stdout()
        sys.exit(SOME_FAILED)
    except OSError as error:
        stdio.discard_stdout()
        where = f"{error.filename}: " if error.filename else ""
        print(f"sttbatch: {printable(where)}{error.strerror or error}", file=sys.stderr)  # noqa: T201
        sys.exit(SOME_FAILED)

"""The command `sttbatch`: its commands, and the one place where errors become words."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from sttbatch import __version__
from sttbatch.cli import cache, config, doctor, jobs, stats, transcribe
from sttbatch.cli.exits import REFUSED, SOME_FAILED, WRONG_USAGE
from sttbatch.core.errors import EndpointRefused, SttbatchError, UsageError

app = typer.Typer(
    name="sttbatch",
    help="Folders of recordings in, transcripts out, through Cloud.ru's speech recognition. "
    "Nothing is paid for twice.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("transcribe")(transcribe.transcribe)
app.command("stats")(stats.stats)
app.command("doctor")(doctor.doctor)
app.add_typer(cache.app, name="cache")
app.add_typer(config.app, name="config")
app.add_typer(jobs.app, name="jobs")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sttbatch {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options that belong to no command."""


def main() -> None:
    """Run the command line; the process ends here."""
    try:
        app()
    except SttbatchError as error:
        from sttbatch.cli.rendering import printable

        print(f"sttbatch: {printable(str(error))}", file=sys.stderr)  # noqa: T201
        code = SOME_FAILED
        if isinstance(error, UsageError):
            code = WRONG_USAGE
        elif isinstance(error, EndpointRefused):
            code = REFUSED
        sys.exit(code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(SOME_FAILED)

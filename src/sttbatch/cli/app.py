"""The program `sttbatch`: its commands, and the printing of errors."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Annotated

import typer

from sttbatch.cli.commands import (
    alerts,
    cache,
    config,
    database,
    doctor,
    index,
    jobs,
    models,
    search,
    stats,
    submit,
    summarize,
    transcribe,
    translate,
    worker,
    workers,
)
from sttbatch.cli.console import stdio
from sttbatch.cli.console.text import printable
from sttbatch.cli.exit_codes import SOME_FAILED, error_exit_code
from sttbatch.core.errors import SttbatchError
from sttbatch.core.version import __version__

app = typer.Typer(
    name="sttbatch",
    help="Transcribe folders of recordings with Cloud.ru's speech recognition. "
    "Nothing is paid for twice.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("transcribe")(transcribe.transcribe)
app.command("submit")(submit.submit)
app.command("worker")(worker.worker)
app.command("workers")(workers.workers)
app.command("search")(search.search)
app.command("summarize")(summarize.summarize)
app.command("translate")(translate.translate)
app.command("index")(index.index)
app.command("stats", cls=stats.StatsCommand)(stats.stats)
app.command("models")(models.models)
app.command("doctor")(doctor.doctor)
app.add_typer(alerts.app, name="alerts")
app.add_typer(cache.app, name="cache")
app.add_typer(config.app, name="config")
app.add_typer(database.app, name="database")
app.add_typer(jobs.app, name="jobs")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sttbatch {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the program, before a command."""


def main() -> None:
    """Run the command line, and exit the process."""
    stdio.keep_open()
    # Collecting garbage at exit would take as long as a request.
    atexit.register(gc.freeze)
    try:
        app(prog_name="sttbatch")
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

"""sttbatch speakers: who speaks in recordings whose channels were transcribed separately."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.console.text import printable
from sttbatch.cli.exit_codes import SOME_FAILED
from sttbatch.cli.options import option
from sttbatch.core.errors import RecordingError, UsageError

if TYPE_CHECKING:
    from sttbatch.composition.speakers import Speakers

app = typer.Typer(help="Name the speakers of recordings.", no_args_is_help=True)


@app.callback()
def speakers() -> None:
    """Names of speakers."""


@app.command()
def rename(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE... [N=NAME]...",
            help="Recordings, or any of their outputs, and the names of their speakers, such as "
            "1=Anna 2=Oleg; 1= takes a name away.",
        ),
    ],
    listed: Annotated[bool, option("List the speakers, and rename none.", "--list")] = False,
) -> None:
    """Name the speakers of recordings that were transcribed with --channels split.

    All outputs are rewritten from the stored transcripts, and their paths
    printed; nothing is sent. Those that were edited stay as they are. Later
    runs, search, summaries and translations use the names too.

    Exit codes: 0 all renamed, 1 a file has no speakers, 2 wrong usage.
    """
    import asyncio

    from sttbatch.composition.settings import load_settings
    from sttbatch.composition.speakers import Speakers, changes_of
    from sttbatch.composition.stores import opened_stores

    paths, names = changes_of(arguments)
    if not paths:
        raise UsageError("name a recording, or one of its outputs")
    if listed == bool(names):
        raise UsageError("give names, such as 1=Anna, or --list")
    with opened_stores(load_settings().settings) as stores:
        failed = asyncio.run(_rename(Speakers(stores), paths, names))
    if failed:
        raise typer.Exit(SOME_FAILED)


async def _rename(speakers: Speakers, paths: list[str], names: Mapping[str, str | None]) -> bool:
    failed = False
    for path in paths:
        try:
            known = await speakers.of(path)
            if not names:
                lines = [f"{each}={known.names.get(each, '')}" for each in known.speakers]
                print_lines([printable(f"{path}: {' '.join(lines)}")])
                continue
            renamed = await speakers.rename(known, names)
        except RecordingError as error:
            _say(f"{path}: {error}")
            failed = True
            continue
        here = f"{Path.cwd()}/"
        print_lines([printable(each.removeprefix(here)) for each in renamed.written])
        for each in renamed.kept:
            _say(f"{each}: not replaced: edited, or not written by sttbatch")
        for each in renamed.later:
            _say(f"{each}: gets the names when the command that wrote it is run again")
    return failed


def _say(line: str) -> None:
    typer.echo(f"sttbatch: {printable(line)}", err=True)

"""sttbatch database: copy."""

from __future__ import annotations

from typing import Annotated

import typer

from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.console.text import counted

app = typer.Typer(help="Move the ledger between files and PostgreSQL.", no_args_is_help=True)

_WORDS = {
    "cache_entries": "result",
    "requests": "request",
    "processing_jobs": "job",
    "outputs": "output",
    "runs": "run",
    "measurements": "measurement",
}


@app.command()
def copy(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="A data folder, or postgresql://user@host/name.")
    ],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same; it must be empty.")],
) -> None:
    """Copy a ledger and its metrics; nothing that it knows is paid for again.

    No process may work at either of them. FROM stays as it is.
    """
    import asyncio

    from sttbatch.composition.ledger_copy import Location, copy_ledger
    from sttbatch.composition.settings import load_settings

    work = copy_ledger(Location(source), Location(target), load_settings().settings)
    copied = asyncio.run(work)
    parts = [counted(copied[table], word) for table, word in _WORDS.items()]
    print_lines([f"copied {', '.join(parts)}"])

"""sttbatch database: check, copy."""

from __future__ import annotations

from typing import Annotated

import typer

from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.console.text import counted, printable
from sttbatch.cli.options import AsJson

app = typer.Typer(
    help="Check the databases, and move them between files and PostgreSQL.", no_args_is_help=True
)

_WORDS = {
    "cache_entries": "result",
    "requests": "request",
    "processing_jobs": "job",
    "outputs": "output",
    "runs": "run",
    "measurements": "measurement",
}


@app.command()
def check(
    explain: Annotated[
        bool, typer.Option("--explain", help="Show which index each frequent statement uses.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Create what is missing, and rebuild every index."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check tables, indexes, triggers and invariants; refresh the statistics of the planner.

    Exit codes: 0 all checks pass, 1 one failed.
    """
    import asyncio
    import json

    from msgspec.structs import asdict

    from sttbatch.composition.database_check import check_databases
    from sttbatch.composition.settings import load_settings

    settings = load_settings().settings
    results = asyncio.run(check_databases(settings, explain=explain, repair=repair))
    healthy = all(each.ok for each in results)
    if as_json:
        facts = {"ok": healthy, "checks": [asdict(each) for each in results]}
        print_lines([json.dumps(facts, ensure_ascii=False, indent=2)])
    else:
        marks = {True: "ok  ", False: "FAIL"}
        print_lines([f"{marks[each.ok]}  {each.name}: {printable(each.text)}" for each in results])
    raise typer.Exit(0 if healthy else 1)


@app.command()
def copy(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="A data folder, or postgresql://user@host/name.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="Another of either, which must be empty.")
    ],
) -> None:
    """Copy a ledger and its metrics, so that nothing is paid for again.

    No other process may use either of them meanwhile. FROM stays as it is. The search index is not
    copied: the next search, or `sttbatch index`, rebuilds it.
    """
    import asyncio

    from sttbatch.composition.ledger_copy import Location, copy_ledger
    from sttbatch.composition.settings import load_settings

    work = copy_ledger(Location(source), Location(target), load_settings().settings)
    copied = asyncio.run(work)
    parts = [counted(copied[table], word) for table, word in _WORDS.items()]
    print_lines([f"copied {', '.join(parts)}"])

"""sttbatch schema: the forms of JSON that programs read."""

from __future__ import annotations

from typing import Annotated

import typer

from sttbatch.cli.console.stdio import StandardOutput
from sttbatch.core.errors import UsageError

SCHEMAS = {"transcript": "transcript-1.json", "stats": "stats-1.json"}
"""The newest schema of each form, a file in `sttbatch/schemas`."""


def schema(
    name: Annotated[
        str,
        typer.Argument(metavar="transcript|stats", show_default=False, help="The schema to print."),
    ],
) -> None:
    """Print the JSON Schema of the json output, or of stats --json."""
    if name not in SCHEMAS:
        raise UsageError(f"there is no schema {name!r}; choose {' or '.join(SCHEMAS)}")
    from importlib.resources import files

    StandardOutput().write(files("sttbatch").joinpath("schemas", SCHEMAS[name]).read_bytes())

"""`-o -`: transcripts go to standard output instead of into files."""

from __future__ import annotations

from sttbatch.cli.console.rendering import Out
from sttbatch.outputs.document import Document
from sttbatch.outputs.formats import FORMATS
from sttbatch.outputs.output_names import OutputPlan
from sttbatch.outputs.writer import Written


class StdoutWriter:
    """Prints each transcript when it is done, in the first of the formats asked for."""

    def __init__(self, out: Out, format_name: str) -> None:
        self._out = out
        self._format = FORMATS[format_name]

    async def write(self, document: Document, plan: OutputPlan) -> Written:
        """Nothing is written to disk."""
        self._out.write(self._format(document))
        return Written(())

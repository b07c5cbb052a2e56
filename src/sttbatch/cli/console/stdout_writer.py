"""`-o -`: transcripts are printed on standard output instead of written to files."""

from __future__ import annotations

from sttbatch.cli.console.stdio import StandardOutput
from sttbatch.outputs.document import Document
from sttbatch.outputs.formats import FORMATS
from sttbatch.outputs.output_names import OutputPlan
from sttbatch.outputs.writer import Written


class StdoutWriter:
    """Prints each finished transcript in one format."""

    def __init__(self, output: StandardOutput, format_name: str) -> None:
        self._output = output
        self._format = FORMATS[format_name]

    async def write(self, document: Document, plan: OutputPlan) -> Written:
        """Print the document; no file is written."""
        self._output.write(self._format(document))
        return Written(())

"""sttbatch index: the index that search uses."""

from __future__ import annotations

from typing import Annotated

from sttbatch.cli.console.progress_line import ProgressLine
from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.console.text import counted, size_text
from sttbatch.cli.options import option


def index(
    rebuild: Annotated[bool, option("Make the index anew.", "--rebuild")] = False,
) -> None:
    """Bring the index of transcripts up to date, as search does; nothing is sent."""
    import asyncio

    from sttbatch.composition.searching import update_index
    from sttbatch.composition.settings import load_settings

    settings = load_settings().settings
    with ProgressLine("indexing transcripts") as progress:
        count, size_bytes = asyncio.run(update_index(settings, progress, rebuild=rebuild))
    print_lines([f"{counted(count, 'transcript')} indexed, {size_text(size_bytes)}"])

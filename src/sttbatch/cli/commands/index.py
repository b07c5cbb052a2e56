"""sttbatch index: the index that search uses."""

from __future__ import annotations

from typing import Annotated

from sttbatch.cli.console.progress_line import ProgressLine
from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.console.text import counted, size_text
from sttbatch.cli.options import option


def index(
    rebuild: Annotated[bool, option("Make the index anew.", "--rebuild")] = False,
    semantic: Annotated[
        bool,
        option(
            "Have passages found by their meaning too: by the embedding model of the settings, or "
            "offline.",
            "--semantic",
        ),
    ] = False,
) -> None:
    """Bring the index of transcripts up to date, as search does; nothing is sent."""
    import asyncio

    from sttbatch.composition.extras import check_search
    from sttbatch.composition.searching import update_index
    from sttbatch.composition.settings import load_settings

    settings = load_settings().settings
    if semantic:
        check_search(None)
    with ProgressLine("indexing transcripts") as progress:
        count, size_bytes = asyncio.run(update_index(settings, progress, rebuild=rebuild))
    lines = [f"{counted(count, 'transcript')} indexed, {size_text(size_bytes)}"]
    if semantic:
        from sttbatch.composition.meaning import fill_vectors

        with ProgressLine("making vectors") as progress:
            made = asyncio.run(fill_vectors(settings, progress))
        lines.append(f"{counted(made.filled, 'transcript')} got vectors by {made.model}")
    print_lines(lines)

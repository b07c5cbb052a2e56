"""sttbatch search: words in transcripts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from sttbatch.cli.console.progress_line import ProgressLine
from sttbatch.cli.console.stdio import StandardOutput
from sttbatch.cli.exit_codes import SOME_FAILED, error_exit_code
from sttbatch.cli.options import AsJson, EmbeddingModel, MaxCost, option
from sttbatch.core.errors import SttbatchError, UsageError

if TYPE_CHECKING:
    from sttbatch.kinds.indexing.searching import Hit, SearchOptions

SEMANTIC_HITS = 20
"""Hits that are shown without -n by a search by meaning, which always has a next best one."""


# fmt: off
def search(
    query: Annotated[str, typer.Argument(
        metavar="QUERY", show_default=False,
        help="Words in any of their forms, all within a few sentences; 'a phrase' in double "
        "quotes, begin*, -without, one OR another. With --semantic any text.")],
    paths: Annotated[list[str] | None, typer.Argument(
        metavar="PATH...", show_default=False,
        help="Recordings or folders. \\[default: all]")] = None,
    since: Annotated[str | None, option(
        "Only what was transcribed in this period: 90m, 24h, 30d.", metavar="D")] = None,
    speaker: Annotated[str | None, option(
        "Only what this speaker said, by name or, if it has none, by number.",
        metavar="N|NAME")] = None,
    context: Annotated[int, option(
        "Show N segments before and after each hit.", metavar="N", minimum=0, maximum=100)] = 0,
    number: Annotated[int | None, option(
        "Show the first N hits.", "-n", metavar="N", minimum=1,
        default="all; with --semantic 20")] = None,
    semantic: Annotated[bool, option(
        "Find passages that mean what QUERY says, the best first, by their words too.",
        "--semantic")] = False,
    embedding_model: EmbeddingModel = None,
    max_cost: MaxCost = None,
    as_json: AsJson = False,
) -> None:
    """Find words in transcripts, the newest first; exit 1 if there are none.

    Nothing is sent, unless --semantic is used with an embedding model of the endpoint.
    """
    # fmt: on
    import asyncio

    from sttbatch.composition.extras import check_search
    from sttbatch.composition.setting_values import option_s
    from sttbatch.composition.settings import load_settings
    from sttbatch.kinds.indexing.query import free_query, parsed

    since_at = None if since is None else time.time() - option_s("--since", since)
    if not semantic and (embedding_model, max_cost) != (None, None):
        raise UsageError("--embedding-model and --max-cost are for --semantic")
    if semantic and not query.strip():
        raise UsageError("the query is empty; give words to look for")
    wanted = free_query(query) if semantic else parsed(query)
    from sttbatch.composition.searching import search as hits_of
    from sttbatch.kinds.indexing.searching import SearchOptions

    options = SearchOptions(None, since_at, speaker, context)
    settings = load_settings({"embedding_model": embedding_model}).settings
    with _failures_as_of_grep(), ProgressLine("indexing transcripts") as progress:
        if semantic:
            from sttbatch.cli.meaning_session import run_by_meaning

            check_search(settings.embedding_model)
            limit = number or SEMANTIC_HITS
            count = run_by_meaning(
                settings,
                max_cost,
                progress,
                lambda run: _print(
                    run.search(query, wanted, options, paths or ()),
                    options,
                    limit,
                    progress,
                    as_json=as_json,
                ),
            )
        else:
            hits = hits_of(settings, wanted, options, progress, paths or ())
            count = asyncio.run(_print(hits, options, number, progress, as_json=as_json))
    if not count:
        raise typer.Exit(SOME_FAILED)


@contextlib.contextmanager
def _failures_as_of_grep() -> Iterator[None]:
    """Gives errors exit code 2 in place of 1, which says that nothing is found."""
    try:
        yield
    except SttbatchError as error:
        if error_exit_code(error) == SOME_FAILED:
            raise UsageError(str(error)) from error
        raise


async def _print(
    hits: AsyncGenerator[Hit, None],
    options: SearchOptions,
    number: int | None,
    progress: ProgressLine,
    *,
    as_json: bool,
) -> int:
    """Print hits as they are found, or as one document; returns their number.

    Raises UsageError if they cannot be written, except to a closed pipe.
    """
    from sttbatch.cli.console.search_lines import SearchLines, search_json

    output = StandardOutput()
    found: list[Hit] = []
    lines = SearchLines(output, with_context=options.context > 0)
    count = 0
    async with contextlib.aclosing(hits):
        async for hit in hits:
            progress.clear()
            count += 1
            if as_json:
                found.append(hit)
            else:
                lines.show(hit)
            if count == number or not output.is_open:
                break
    if as_json:
        output.write(search_json(found).encode() + b"\n")
    if output.fault is not None:
        raise UsageError(f"standard output cannot be written: {output.fault}; write it elsewhere")
    return count

"""sttbatch index: the index that search uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sttbatch.cli.console.progress_line import ProgressLine
from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.console.text import counted, size_text
from sttbatch.cli.exit_codes import SOME_FAILED
from sttbatch.cli.options import DryRun, EmbeddingModel, MaxCost, option

if TYPE_CHECKING:
    from sttbatch.composition.meaning import MeaningRun


# fmt: off
def index(
    rebuild: Annotated[bool, option("Rebuild the index.", "--rebuild")] = False,
    semantic: Annotated[bool, option(
        "Also make what search --semantic needs, which is billed once with a model of the "
        "endpoint.", "--semantic")] = False,
    embedding_model: EmbeddingModel = None,
    max_cost: MaxCost = None,
    dry_run: DryRun = False,
) -> None:
    """Bring the index of transcripts up to date, as search does.

    Nothing is sent, unless --semantic is used with an embedding model of the endpoint.
    """
    # fmt: on
    import asyncio

    from sttbatch.cli.meaning_session import run_by_meaning
    from sttbatch.composition.extras import check_search
    from sttbatch.composition.searching import update_index
    from sttbatch.composition.settings import load_settings
    from sttbatch.core.errors import UsageError

    if not semantic and (embedding_model, max_cost, dry_run) != (None, None, False):
        raise UsageError("--embedding-model, --max-cost and --dry-run are for --semantic")
    if rebuild and dry_run:
        raise UsageError("--dry-run makes nothing anew")
    settings = load_settings({"embedding_model": embedding_model}).settings
    if semantic:
        check_search(settings.embedding_model)
    with ProgressLine("indexing transcripts") as progress:
        count, size_bytes = asyncio.run(update_index(settings, progress, rebuild=rebuild))
    print_lines([f"{counted(count, 'transcript')} indexed, {size_text(size_bytes)}"])
    if semantic:
        from sttbatch.cli.meaning_session import run_by_meaning

        with ProgressLine("making vectors") as progress:
            failed = run_by_meaning(settings, max_cost, progress, _plan if dry_run else _fill)
        if failed:
            raise typer.Exit(SOME_FAILED)


async def _plan(run: MeaningRun) -> int:
    plan = await run.plan()
    line = f"{counted(plan.texts, 'passage')} would get vectors by {plan.model}"
    if plan.tokens:
        cost = "price unknown" if plan.cost is None else f"cost {plan.cost:.2f} RUB"
        line += f": about {plan.tokens} tokens, {cost}"
    print_lines([line])
    return 0


async def _fill(run: MeaningRun) -> int:
    made = await run.fill()
    line = f"{counted(made.filled, 'transcript')} got vectors by {made.model}"
    if made.cost:
        line += f", cost {made.cost:.2f} RUB"
    print_lines([line])
    return len(made.failed)

"""What commands that search by meaning have in common: their signals and what they say."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import typer

from sttbatch.cli.console.text import printable
from sttbatch.cli.exit_codes import SIGNAL_BASE
from sttbatch.cli.signals import Signals
from sttbatch.composition.process_limits import collect_garbage
from sttbatch.core.errors import Stopped

if TYPE_CHECKING:
    from sttbatch.composition.meaning import MeaningRun
    from sttbatch.composition.settings import Settings
    from sttbatch.kinds.indexing.indexer import Progress


def run_by_meaning(
    settings: Settings,
    max_cost: float | None,
    progress: Progress,
    work: Callable[[MeaningRun], Awaitable[int]],
) -> int:
    """The result of `work`; after a signal what is in flight is stored, and the process exits."""
    from sttbatch.composition.meaning import MeaningRun

    signals = Signals(say)

    def begun(stop: Callable[[], None]) -> None:
        signals.stop = stop

    async def run() -> int:
        collect_garbage()
        with signals, signals.absorb_cancellation():
            try:
                return await work(MeaningRun(settings, max_cost, say, progress, begun))
            except Stopped:
                if signals.first is None:
                    raise
        return 0

    result = asyncio.run(run())
    if signals.first is not None:
        raise typer.Exit(SIGNAL_BASE + signals.first)
    return result


def say(text: str) -> None:
    print(f"sttbatch: {printable(text)}", file=sys.stderr)  # noqa: T201 - to people

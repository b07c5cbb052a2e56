"""sttbatch stats: what was done, what it cost, how fast it went, what failed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sttbatch.core.metrics import Window
    from sttbatch.monitoring.statistics import Group, Sources, Statistics

WATCH_EVERY_S = 1.0
GROUPINGS = ("model", "engine", "day")


@dataclass(frozen=True, slots=True)
class _Question:
    since_s: float
    by: str | None

    def window(self) -> Window:
        from sttbatch.core.metrics import Window

        now = time.time()
        # What ends in this very second counts.
        return Window(now - self.since_s, now + 1.0)

    async def ask(self, sources: Sources) -> tuple[Statistics, Sequence[Group]]:
        from sttbatch.monitoring.statistics import groups, statistics

        window = self.window()
        grouped = await groups(sources, window, self.by) if self.by is not None else ()
        return await statistics(sources, window), grouped


class StatsCommand(TyperCommand):
    """Where `--prometheus` names no file, it means standard output."""

    # Any: some versions of typer bring a click of their own.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As its base does."""
        spelled: list[str] = []
        for word, after in zip_longest(args, args[1:], fillvalue="--"):
            spelled.append(word)
            if word == "--prometheus" and after.startswith("-") and after != "-":
                spelled.append("-")
        return super().parse_args(ctx, spelled)


def stats(
    context: typer.Context,
    since: Annotated[
        str,
        typer.Option(metavar="D", help="So far back: 90m, 24h, 7d. Latencies go back 30d."),
    ] = "7d",
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also by model, engine or day.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Draw anew each second, until Ctrl-C.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with the same as pictures."),
    ] = None,
    prometheus: Annotated[
        str | None,
        typer.Option(
            metavar="[FILE]",
            help="Print totals of all time for Prometheus, or write them to a file for "
            "node_exporter's textfile collector.",
        ),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Push the same to a Pushgateway: http://host:9091."),
    ] = None,
) -> None:
    """Show what was transcribed, what it cost, what the cache saved, how fast, what failed."""
    from sttbatch.composition.settings import duration_s

    if by is not None and by not in GROUPINGS:
        raise UsageError(f"--by is {', '.join(GROUPINGS)}, not {by!r}")
    if watch + as_json + sum(each is not None for each in (html, prometheus, push)) > 1:
        raise UsageError("name one of --json, --watch, --html, --prometheus and --push")
    if prometheus is not None or push is not None:
        _refuse_windows(context)
    try:
        question = _Question(duration_s(since), by)
    except ValueError as error:
        raise UsageError(f"--since {since}: {error}") from error
    import asyncio

    from sttbatch.cli.console.stats_export import push_figures, write_exposition
    from sttbatch.composition.settings import load_settings
    from sttbatch.composition.stats_sources import statistics_sources

    with statistics_sources(load_settings().settings) as sources:
        if html is not None:
            report = _write_page(sources, question, html)
        elif prometheus is not None:
            report = write_exposition(sources, prometheus)
        elif push is not None:
            report = push_figures(sources, push)
        elif as_json:
            report = _print_json(sources, question)
        else:
            report = _draw(sources, question, watch=watch)
        asyncio.run(report)


def _refuse_windows(context: typer.Context) -> None:
    for option in ("since", "by"):
        source = context.get_parameter_source(option)
        # By name: some versions of typer bring a click of their own.
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                f"--prometheus and --push are of all time, by engine and model: leave out "
                f"--{option}, and let Prometheus choose the window"
            )


async def _write_page(sources: Sources, question: _Question, target: Path) -> None:
    from sttbatch.cli.console.report_files import replace_report
    from sttbatch.cli.console.stats_screen import CURRENCY
    from sttbatch.monitoring.dashboard import dashboard, page

    text = page(await dashboard(sources, question.window()), CURRENCY)
    # What tells of money is for its owner alone, unless the page was opened before.
    replace_report(target, text.encode(), 0o600)


async def _print_json(sources: Sources, question: _Question) -> None:
    from sttbatch.cli.console.rendering import Out
    from sttbatch.cli.console.stats_json import stats_json

    found, groups = await question.ask(sources)
    Out().line(stats_json(found, question.by, groups))


async def _draw(sources: Sources, question: _Question, *, watch: bool) -> None:
    import asyncio

    from rich.console import Console

    from sttbatch.cli.console.stats_screen import print_screen, screen

    console = Console(highlight=False)

    async def drawn() -> RenderableType:
        found, groups = await question.ask(sources)
        return screen(found, question.by, groups)

    if not (watch and console.is_terminal):
        print_screen(console, await drawn())
        return
    from rich.live import Live

    # Ctrl-C cancels this task, and is how watching ends.
    with (
        contextlib.suppress(asyncio.CancelledError),
        Live(console=console, auto_refresh=False, screen=True) as live,
    ):
        while True:
            live.update(await drawn(), refresh=True)
            await asyncio.sleep(WATCH_EVERY_S)

"""sttbatch stats: what was done, what it cost, how fast it went, what failed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sttbatch.monitoring.aggregator import Window
    from sttbatch.monitoring.statistics import Group, Sources, Statistics

WATCH_EVERY_S = 1.0
GROUPINGS = ("model", "engine", "day")


@dataclass(frozen=True, slots=True)
class _Question:
    since_s: float
    by: str | None

    def window(self) -> Window:
        from sttbatch.monitoring.aggregator import Window

        now = time.time()
        # What ends in this very second counts.
        return Window(now - self.since_s, now + 1.0)

    def ask(self, sources: Sources) -> tuple[Statistics, Sequence[Group]]:
        from sttbatch.monitoring.statistics import groups, statistics

        window = self.window()
        grouped = groups(sources, window, self.by) if self.by is not None else ()
        return statistics(sources, window), grouped


def stats(
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
) -> None:
    """Show what was transcribed, what it cost, what the cache saved, how fast, what failed."""
    from sttbatch.cli.settings import duration_s

    if by is not None and by not in GROUPINGS:
        raise UsageError(f"--by is {', '.join(GROUPINGS)}, not {by!r}")
    if watch + as_json + (html is not None) > 1:
        raise UsageError("name one of --json, --watch and --html")
    try:
        question = _Question(duration_s(since), by)
    except ValueError as error:
        raise UsageError(f"--since {since}: {error}") from error
    from sttbatch.cli.settings import load_settings
    from sttbatch.cli.stats_sources import statistics_sources

    with statistics_sources(load_settings().settings) as sources:
        if html is not None:
            from sttbatch.cli.stats_screen import CURRENCY
            from sttbatch.monitoring.dashboard import dashboard, page

            _replace(html, page(dashboard(sources, question.window()), CURRENCY))
        elif as_json:
            from sttbatch.cli.rendering import Out
            from sttbatch.cli.stats_json import stats_json

            found, groups = question.ask(sources)
            Out().line(stats_json(found, by, groups))
        else:
            _draw(sources, question, watch=watch)


def _replace(path: Path, text: str) -> None:
    """Whole or not at all: a web server may be reading it."""
    import os
    import tempfile

    try:
        # What tells of money is for its owner alone, unless the page was opened to others before.
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent) as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            # A second name takes the target's place; the first goes with the file object.
            beside = f"{file.name}.html"
            os.link(file.name, beside)
            Path(beside).replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _draw(sources: Sources, question: _Question, *, watch: bool) -> None:
    from rich.console import Console

    from sttbatch.cli.stats_screen import print_screen, screen

    console = Console(highlight=False)

    def drawn() -> RenderableType:
        found, groups = question.ask(sources)
        return screen(found, question.by, groups)

    if not (watch and console.is_terminal):
        print_screen(console, drawn())
        return
    from rich.live import Live

    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(console=console, auto_refresh=False, screen=True) as live,
    ):
        while True:
            live.update(drawn(), refresh=True)
            time.sleep(WATCH_EVERY_S)

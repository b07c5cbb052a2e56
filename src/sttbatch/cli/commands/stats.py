"""sttbatch stats: work, cost, speed and failures of a period."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct
from typer.core import TyperCommand

from sttbatch.cli.console.stdio import StandardOutput, print_lines
from sttbatch.cli.options import EXPORT, AsJson, option
from sttbatch.composition.extras import needs_prometheus
from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sttbatch.core.metrics import Window
    from sttbatch.monitoring.statistics import Group, Sources, Statistics

WATCH_EVERY_S = 1.0
GROUPINGS = ("model", "engine", "kind", "day")

# node_exporter runs as another user, and the file names no recording.
_READABLE = 0o644


class _Query(Struct, frozen=True):
    since_s: float
    by: str | None

    def window(self) -> Window:
        from sttbatch.core.metrics import Window

        now = time.time()
        # Include requests that end in this second.
        return Window(now - self.since_s, now + 1.0)

    async def run(self, sources: Sources) -> tuple[Statistics, Sequence[Group]]:
        from sttbatch.monitoring.statistics import groups, statistics

        window = self.window()
        grouped = await groups(sources, window, self.by) if self.by is not None else ()
        return await statistics(sources, window), grouped


class StatsCommand(TyperCommand):
    """`stats`, whose `--prometheus` without a file means standard output."""

    # Any: some versions of typer bring a click of their own.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments as the base class does."""
        spelled: list[str] = []
        for word, after in zip_longest(args, args[1:], fillvalue="--"):
            spelled.append(word)
            if word == "--prometheus" and after.startswith("-") and after != "-":
                spelled.append("-")
        return super().parse_args(ctx, spelled)


COMMAND = StatsCommand
"""Its class, instead of typer's own."""


# fmt: off
def stats(
    context: typer.Context,
    since: Annotated[str, option(
        "Period to show: 90m, 24h, 7d; latencies are kept for 30d.", metavar="D")] = "7d",
    by: Annotated[str | None, option(
        "Add a table by model, engine, kind (of job) or day.", metavar="NAME")] = None,
    as_json: AsJson = False,
    watch: Annotated[bool, option(
        "Refresh the screen every second until Ctrl-C.", "--watch")] = False,
    html: Annotated[Path | None, option(
        "Write a page with charts.", metavar="FILE", panel=EXPORT)] = None,
    prometheus: Annotated[str | None, option(
        "Print lifetime totals for Prometheus, or write them to a file for node_exporter's "
        "textfile collector.", metavar="[FILE]", panel=EXPORT)] = None,
    push: Annotated[str | None, option(
        "Push lifetime totals to a Pushgateway, such as http://host:9091.",
        metavar="URL", panel=EXPORT)] = None,
    remote_write: Annotated[str | None, option(
        "Send lifetime totals by Prometheus's remote write, such as to "
        "http://host:9090/api/v1/write.", metavar="URL", panel=EXPORT)] = None,
) -> None:
    """Show work, cost, cache savings, speed and failures."""
    # fmt: on
    from sttbatch.composition.setting_values import option_s
    from sttbatch.composition.settings import load_settings

    if by is not None and by not in GROUPINGS:
        raise UsageError(f"--by is one of {', '.join(GROUPINGS)}, not {by!r}")
    targets = (html, prometheus, push, remote_write)
    if watch + as_json + sum(target is not None for target in targets) > 1:
        raise UsageError(
            "give only one of --json, --watch, --html, --prometheus, --push and --remote-write"
        )
    if any(target is not None for target in targets[1:]):
        _refuse_windows(context)
    query = _Query(option_s("--since", since), by)
    import asyncio

    from sttbatch.composition.stores import statistics_sources

    with statistics_sources(load_settings().settings) as sources:
        if html is not None:
            report = _write_page(sources, query, html)
        elif prometheus is not None:
            report = _write_exposition(sources, prometheus)
        elif push is not None:
            report = _push(sources, push)
        elif remote_write is not None:
            report = _remote_write(sources, remote_write)
        elif as_json:
            report = _print_json(sources, query)
        else:
            report = _draw(sources, query, watch=watch)
        asyncio.run(report)


def _refuse_windows(context: typer.Context) -> None:
    for name in ("since", "by"):
        source = context.get_parameter_source(name)
        # By name: some versions of typer bring a click of their own.
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                f"--prometheus and --push report lifetime totals by engine and model: omit "
                f"--{name} and choose the period in Prometheus"
            )


async def _write_page(sources: Sources, query: _Query, target: Path) -> None:
    from sttbatch.cli.console.run_summary import CURRENCY
    from sttbatch.monitoring.dashboard import page

    text = await page(sources, query.window(), CURRENCY)
    # The page shows costs, so a new one is private.
    replace_report(target, text.encode(), 0o600)


async def _print_json(sources: Sources, query: _Query) -> None:
    from sttbatch.cli.console.stats_json import stats_json

    figures, groups = await query.run(sources)
    print_lines([stats_json(figures, query.by, groups)])


async def _draw(sources: Sources, query: _Query, *, watch: bool) -> None:
    import asyncio

    from rich.console import Console

    from sttbatch.cli.console.stats_screen import print_screen, screen

    console = Console(highlight=False)

    async def drawn() -> RenderableType:
        figures, groups = await query.run(sources)
        return screen(figures, query.by, groups)

    if not (watch and console.is_terminal):
        print_screen(console, await drawn())
        return
    from rich.live import Live

    # Ctrl-C, which ends watching, cancels this task.
    with (
        contextlib.suppress(asyncio.CancelledError),
        Live(console=console, auto_refresh=False, screen=True) as live,
    ):
        while True:
            live.update(await drawn(), refresh=True)
            await asyncio.sleep(WATCH_EVERY_S)


async def _write_exposition(sources: Sources, target: str) -> None:
    text = await _exposition(sources)
    if target != "-":
        replace_report(Path(target), text, _READABLE)
        return
    output = StandardOutput()
    output.write(text)
    if output.fault is not None:
        raise UsageError(f"standard output cannot be written: {output.fault}; write it elsewhere")


async def _push(sources: Sources, url: str) -> None:
    from sttbatch.external.notifications import gateway_at, push

    await push(gateway_at(url), await _exposition(sources))


async def _remote_write(sources: Sources, url: str) -> None:
    import socket

    from sttbatch.external.notifications import JOB, receiver_at, remote_write

    with needs_prometheus():
        from sttbatch.monitoring.exporter import all_families
        from sttbatch.monitoring.remote_write import message
    receiver, target = receiver_at(url), {"job": JOB, "instance": socket.gethostname()}
    await remote_write(
        receiver, message(await all_families(sources), target, int(time.time() * 1000))
    )


async def _exposition(sources: Sources) -> bytes:
    with needs_prometheus():
        from sttbatch.monitoring.exporter import exposition
    return await exposition(sources)


def replace_report(path: Path, content: bytes, new_mode: int) -> None:
    """Replace a file atomically, or write to a device or a pipe.

    An existing file keeps its mode; a new one gets `new_mode`, regardless of the umask. Raises
    UsageError if it cannot be written.
    """
    import tempfile

    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        mode = path.stat().st_mode & 0o777 if path.exists() else new_mode
        # Hidden and with another ending, as node_exporter reads all files `*.prom`.
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".tmp", delete=False
        ) as file:
            try:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(file.name).unlink()
                raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error

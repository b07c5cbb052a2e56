"""`stats` on one screen, the most important figures first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sttbatch.cli.console.run_summary import CURRENCY
from sttbatch.cli.console.text import clock, counted, local_time, printable
from sttbatch.core.metrics import RecordingOutcome
from sttbatch.monitoring.statistics import (
    Distribution,
    RepairFigures,
    Statistics,
    of_language_models,
)
from sttbatch.monitoring.statistics import Group as RequestGroup

_BARS = "▁▂▃▄▅▆▇█"
_BUCKETS = 24
_REASON_CHARS = 200
_LABEL_WIDTH = 11


def screen(stats: Statistics, by: str | None, groups: Sequence[RequestGroup]) -> RenderableType:
    """The whole screen; sections without figures are omitted."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", min_width=_LABEL_WIDTH, no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(stats):
        facts.add_row(name, Text(text))
    parts: list[RenderableType] = [facts]
    if by is not None and groups:
        parts += ["", _groups_table(by, groups)]
    parts += _recordings("slowest", stats.slowest)
    parts += _recordings("failed", stats.failed)
    return Group(*parts)


def print_screen(console: Console, rendered: RenderableType) -> None:
    """Print, without trailing blanks if the output is not a terminal."""
    if console.is_terminal:
        console.print(rendered)
        return
    with console.capture() as captured:
        console.print(rendered)
    for line in captured.get().splitlines():
        console.file.write(line.rstrip() + "\n")


def _facts(stats: Statistics) -> list[tuple[str, str]]:
    audio_s, done = sum(stats.audio_s.values()), Counter(stats.recordings)
    recordings = (
        f"{done['transcribed']} transcribed, {done['cached']} from cache, "
        f"{done['failed']} failed, {done['unchanged']} unchanged"
    )
    rows = [
        ("since", local_time(stats.window.since)),
        ("runs", _runs(stats)),
        ("recordings", recordings),
        ("audio", f"{audio_s / 60:.1f} min done, {stats.requests.paid_s / 60:.1f} min paid for"),
        ("money", _money(stats)),
        ("language", _language(stats)),
        ("cache", _cache(stats)),
        ("requests", _requests(stats)),
    ]
    if stats.latency.count:
        rows += [
            ("latency", _percentiles(stats.latency)),
            ("", _histogram(stats.latency)),
            ("waits", _waits(stats)),
            ("throughput", _throughput(stats)),
        ]
    jobs = {state.lower(): count for state, count in stats.jobs.items()}
    is_open = any(jobs.get(state) for state in ("queued", "processing", "failed"))
    rows += [
        ("errors", _counts(stats.errors, " x")),
        ("retried for", _counts(stats.retries, " x")),
        ("audit", _repair(stats.repair) if stats.repair else ""),
        ("jobs now", _counts(jobs) if is_open else ""),
    ]
    return [(name, text) for name, text in rows if text]


def _runs(stats: Statistics) -> str:
    text = str(stats.runs.total)
    if stats.runs.stopped:
        text += f", {stats.runs.stopped} stopped by an error"
    if stats.runs.unfinished:
        text += f", {stats.runs.unfinished} still running or killed"
    return text


def _money(stats: Statistics) -> str:
    text = (
        f"{stats.requests.cost:.2f} {CURRENCY} spent, {stats.cache.saved_cost:.2f} {CURRENCY} "
        f"saved by the cache ({stats.cache.saved_s / 60:.1f} min)"
    )
    if stats.requests.maybe_paid:
        text += f"; {stats.requests.maybe_paid} requests possibly billed"
    return text


def _language(stats: Statistics) -> str:
    """What language models cost, a line for each kind."""
    return "\n".join(
        f"{kind}: {of.cost:.2f} {CURRENCY}, {counted(of.total, 'request')}, "
        f"{of.prompt_tokens:,} tokens read, {of.generated_tokens:,} written"
        for kind, of in of_language_models(stats).items()
    )


def _cache(stats: Statistics) -> str:
    rate = stats.cache.hit_rate
    if rate is None:
        return "no lookups"
    levels = ", ".join(f"{level} {count}" for level, count in stats.cache.hits.items())
    return f"{rate:.0%} of {stats.cache.lookups} lookups: {levels}"


def _requests(stats: Statistics) -> str:
    requests = stats.requests
    text = f"{requests.total}: {requests.ok} ok, {requests.failed} failed"
    if requests.retried:
        text += f"; {requests.retried} were retries"
    return f"{text}; {requests.sent_bytes / 1e6:.1f} MB sent"


def _percentiles(latencies: Distribution) -> str:
    figures = latencies.summary() | {"max": latencies.largest}
    return ", ".join(f"{name} {_seconds(value)}" for name, value in figures.items())


def _histogram(latencies: Distribution) -> str:
    """Buckets of equal logarithmic width, so that a slow tail leaves the rest readable."""
    low, high = max(latencies.ordered[0], 1e-3), max(latencies.ordered[-1], 1e-3)
    if high / low < 1.01:
        return f"{_seconds(low)} all of them"
    scale = _BUCKETS / math.log(high / low)
    heights = [0] * _BUCKETS
    for value in latencies.ordered:
        bucket = int(math.log(max(value, low) / low) * scale)
        heights[min(bucket, _BUCKETS - 1)] += 1
    top = max(heights)
    bars = "".join(
        " " if not height else _BARS[math.ceil(height / top * len(_BARS)) - 1] for height in heights
    )
    return f"{_seconds(low)} {bars} {_seconds(high)}"


def _waits(stats: Statistics) -> str:
    waits = {
        "for a lane": stats.queue_wait,
        "for the rate limit": stats.rate_wait,
        "cutting a chunk": stats.preparation,
    }
    return "\n".join(
        f"{name}: p50 {_seconds(wait.percentile(50))}, p95 {_seconds(wait.percentile(95))}"
        for name, wait in waits.items()
        if wait.count
    )


def _throughput(stats: Statistics) -> str:
    throughput = stats.throughput
    parts = []
    if throughput.audio_per_s is not None:
        parts.append(f"{throughput.audio_per_s:.1f} s of audio a second")
    if throughput.lanes_used is not None:
        parts.append(f"{throughput.lanes_used:.1f} of {throughput.lanes} lanes busy")
    limit = f" of {throughput.rate_limit}" if throughput.rate_limit else ""
    parts.append(f"{throughput.busiest_minute}{limit} requests in the busiest minute")
    return ", ".join(parts)


def _repair(repair: RepairFigures) -> str:
    parts = [f"{count} {name}" for name, count in repair.named().items() if count]
    counts = ", ".join([f"{counted(repair.gap_count, 'gap')} found", *parts])
    return f"{counts}; {repair.asked_s / 60:.1f} min retried"


def _counts(counts: Mapping[str, int], times: str = "") -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count}{times} {printable(name)}" for name, count in ordered if count)


def _groups_table(by: str, groups: Sequence[RequestGroup]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(by, overflow="fold")
    # Beside minutes only where there are any.
    has_tokens = any(group.requests.tokens for group in groups)
    tokens = ("tokens read", "written") if has_tokens else ()
    for name in ("requests", "failed", "min paid", *tokens, CURRENCY, "p50", "p95"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in groups:
        of = group.requests
        table.add_row(
            Text(printable(group.name)),
            str(group.requests.total),
            str(group.requests.failed),
            f"{group.requests.paid_s / 60:.1f}",
            *((f"{of.prompt_tokens:,}", f"{of.generated_tokens:,}") if has_tokens else ()),
            f"{group.requests.cost:.2f}",
            _seconds(group.latency.percentile(50)),
            _seconds(group.latency.percentile(95)),
        )
    return table


def _recordings(title: str, outcomes: Sequence[RecordingOutcome]) -> list[RenderableType]:
    if not outcomes:
        return []
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(style="bold", min_width=_LABEL_WIDTH, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for number, outcome in enumerate(outcomes):
        text = printable(outcome.name)
        if outcome.failure:
            text += f": {printable(outcome.failure[:_REASON_CHARS])}"
        elif outcome.took_s is not None:
            tokens = f"{outcome.kind}, {outcome.tokens:,} tokens"
            text += f" ({tokens if outcome.tokens else clock(outcome.audio_s) + ' of audio'})"
        when = datetime.fromtimestamp(outcome.at).astimezone()
        figure = f"{when:%m-%d %H:%M}" if outcome.failure else _seconds(outcome.took_s)
        table.add_row("" if number else title, figure, Text(text))
    return ["", table]


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else clock(seconds)

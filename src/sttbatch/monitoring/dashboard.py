"""`stats --html`: the figures of a window as a self-contained page, light and dark."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from html import escape

from sttbatch.core.metrics import Window
from sttbatch.core.ports import MetricsStore
from sttbatch.monitoring.charts import LatencyPoint, bars, lane_chart, latency_chart
from sttbatch.monitoring.statistics import (
    Distribution,
    RepairFigures,
    Sources,
    Statistics,
    of_language_models,
    statistics,
)

POINTS = 120
REQUESTS_SHOWN = 400
_NOTHING = '<p class="none">nothing in this time</p>'
_LANE_LEGEND = (
    '<i class="queue"></i> waiting for a lane, <i class="rate"></i> for the rate limit; '
    '<i class="ok"></i> request, <i class="failed"></i> without an answer'
)

_STYLE = """
:root { color-scheme: light dark; --back: #fcfcfb; --text: #1d2330; --faint: #5d6675;
  --line: #dfe2e7; --card: #fff; --ok: #2f6fdb; --rate: #d98a00; --queue: #8a93a3;
  --failed: #c8322b; --money: #1d8a5f; }
@media (prefers-color-scheme: dark) { :root { --back: #14171c; --text: #e6e9ee; --faint: #9aa4b2;
  --line: #2c323c; --card: #1b1f26; --ok: #6ea3ff; --rate: #f0b34a; --queue: #7c8698;
  --failed: #ff7b72; --money: #4cc38a; } }
body { margin: 0 auto; padding: 24px; max-width: 960px; background: var(--back); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 22px; margin: 0; } h2 { font-size: 16px; margin: 0 0 8px; }
p { margin: 4px 0; } .faint, .none, figcaption { color: var(--faint); font-size: 13px; }
dl { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; margin: 20px 0; }
@media (max-width: 640px) { dl { grid-template-columns: repeat(2, 1fr); } }
dl div, figure { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 12px 14px; margin: 0; }
figure { margin: 0 0 16px; } dt { color: var(--faint); font-size: 13px; }
dd { margin: 0; font-size: 20px; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--faint);
  font: 12px system-ui, sans-serif; } .end { text-anchor: end; } .middle { text-anchor: middle; }
.grid { stroke: var(--line); } polyline { fill: none; stroke-width: 1.5; }
polyline.p50 { stroke: var(--ok); } polyline.p95 { stroke: var(--rate); }
circle.p50 { fill: var(--ok); } circle.p95 { fill: var(--rate); }
rect.ok, rect.cache, rect.audit { fill: var(--ok); } rect.rate { fill: var(--rate); }
rect.queue { fill: var(--queue); } rect.failed { fill: var(--failed); }
rect.money { fill: var(--money); }
i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; }
i.ok, i.p50 { background: var(--ok); } i.rate, i.p95 { background: var(--rate); }
i.queue { background: var(--queue); } i.failed { background: var(--failed); }
"""


async def page(sources: Sources, window: Window, currency: str) -> str:
    """HTML without scripts and external resources; it names no recordings."""
    totals = await statistics(sources, window)
    points = await _latency_over_time(sources.metrics, window)
    # In the order in which they entered their lanes.
    requests = await sources.metrics.last_requests(REQUESTS_SHOWN)
    requests = sorted(requests, key=lambda request: request.in_lane_at)
    days = [
        (day, sent.cost, f"{sent.cost:.2f} {currency}, {sent.total} requests")
        for day, sent in (await sources.usage.requests_by("day", window)).items()
    ]
    since, until = (
        datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
        for at in (window.since, window.until)
    )
    latency = latency_chart(points) if points else _NOTHING
    last = lane_chart(requests) if requests else _NOTHING
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>sttbatch</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>
<body><h1>sttbatch</h1><p class="faint">{since} to {until}</p>
{_tiles(totals, currency)}
{_figure("Latency", latency, '<i class="p50"></i> p50, <i class="p95"></i> p95')}
{_figure("The last run, lane by lane", last, _LANE_LEGEND)}
{_figure("Cache", _cache(totals), "lookups by the level that had the answer")}
{_repair(totals.repair)}
{_figure("Spending per day", bars("money", days, "Spending") if days else _NOTHING, "")}
{_kinds(totals, currency)}
</body></html>
"""


async def _latency_over_time(metrics: MetricsStore, window: Window) -> list[LatencyPoint]:
    """At most `POINTS` points, over the time from the first to the last request."""
    samples = await metrics.latencies("time", window)
    if not samples:
        return []
    first, last = samples[0][0], samples[-1][0]
    step = (last - first) / POINTS or 1.0
    steps: defaultdict[int, list[float]] = defaultdict(list)
    for at, latency_s in samples:
        steps[min(int((at - first) / step), POINTS - 1)].append(latency_s)
    return [
        LatencyPoint(first + number * step, part.percentile(50) or 0.0, part.percentile(95) or 0.0)
        for number, values in steps.items()
        for part in [Distribution(sorted(values))]
    ]


def _tiles(totals: Statistics, currency: str) -> str:
    requests, rate = totals.requests, totals.cache.hit_rate
    p95 = totals.latency.percentile(95)
    facts = {
        "audio done": f"{sum(totals.audio_s.values()) / 60:.1f} min",
        "spent": f"{requests.cost:.2f} {currency}",
        "saved by the cache": f"{totals.cache.saved_cost:.2f} {currency}",
        "cache hits": "-" if rate is None else f"{rate:.0%}",
        "requests": f"{requests.total}",
        "without an answer": f"{requests.failed}",
        "latency p95": "-" if p95 is None else f"{p95:.2f} s",
        "recordings failed": f"{totals.recordings.get('failed', 0)}",
    }
    tiles = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return f"<dl>{tiles}</dl>"


def _cache(totals: Statistics) -> str:
    cache = totals.cache
    if not cache.lookups:
        return _NOTHING
    rows = [*cache.hits.items(), ("miss", cache.lookups - sum(cache.hits.values()))]
    return bars(
        "cache",
        [(name, float(count), f"{count} ({count / cache.lookups:.0%})") for name, count in rows],
        "Cache lookups by level",
    )


def _repair(figures: RepairFigures) -> str:
    """A chart; empty if no answer was suspect."""
    if not figures:
        return ""
    rows = [(name, float(count), str(count)) for name, count in figures.named().items()]
    chart = bars("audit", rows, "Audit findings")
    caption = (
        f"gaps in answers by outcome, and suspect segments; "
        f"{figures.asked_s / 60:.1f} min sent again"
    )
    return _figure("Audit", chart, caption)


def _kinds(totals: Statistics, currency: str) -> str:
    """A chart; empty if all was transcription."""
    if not of_language_models(totals):
        return ""
    rows = [
        (kind, of.cost, f"{of.cost:.2f} {currency}, {of.total} requests, {of.tokens:,} tokens")
        for kind, of in totals.kinds.items()
    ]
    return _figure("Spending by kind", bars("money", rows, "Spending by kind"), "")


def _figure(title: str, chart: str, caption: str) -> str:
    return f"<figure><h2>{escape(title)}</h2>{chart}<figcaption>{caption}</figcaption></figure>"

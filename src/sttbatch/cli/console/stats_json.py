"""`stats --json`: one object, for scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec.structs import asdict

from sttbatch.cli.console.text import utc_time
from sttbatch.core.metrics import RecordingOutcome, RequestFigures
from sttbatch.monitoring.statistics import Distribution, Group, Statistics

OUTCOMES = ("transcribed", "cached", "unchanged", "failed")


def stats_json(stats: Statistics, by: str | None, groups: Sequence[Group]) -> str:
    """The JSON text; null is unknown."""
    throughput = asdict(stats.throughput)
    facts: dict[str, Any] = {
        "since": utc_time(stats.window.since),
        "until": utc_time(stats.window.until),
        "audio_seconds": sum(stats.audio_s.values()),
        **_requests(stats.requests, stats.latency),
        "kinds": {
            kind: {"requests": of.total, "cost": of.cost, "tokens": _tokens(of)}
            for kind, of in stats.kinds.items()
        },
        "saved_seconds": stats.cache.saved_s,
        "saved_cost": stats.cache.saved_cost,
        "runs": asdict(stats.runs),
        "recordings": {outcome: stats.recordings.get(outcome, 0) for outcome in OUTCOMES},
        "queue_wait_seconds": stats.queue_wait.summary(),
        "rate_wait_seconds": stats.rate_wait.summary(),
        "preparation_seconds": stats.preparation.summary(),
        "cache": _cache(stats),
        "jobs": {state.lower(): count for state, count in stats.jobs.items()},
        "throughput": {
            "audio_seconds_per_second": throughput.pop("audio_per_s"),
            "busy_seconds": throughput.pop("busy_s"),
            **throughput,
        },
        "errors": dict(stats.errors),
        "retries": dict(stats.retries),
        "connections": dict(stats.connections),
        "audit": {
            "gaps": {"found": stats.repair.gap_count, **stats.repair.gaps},
            "loops": stats.repair.loops,
            "unfounded": stats.repair.unfounded,
            "asked_seconds": stats.repair.asked_s,
        },
        "slowest": [_recording(outcome) for outcome in stats.slowest],
        "failed": [_recording(outcome) for outcome in stats.failed],
    }
    if by is not None:
        facts["by"] = {
            by: [{"name": one.name, **_requests(one.requests, one.latency)} for one in groups]
        }
    return json.dumps(facts)


def _cache(stats: Statistics) -> dict[str, Any]:
    cache = stats.cache
    return {
        "lookups": cache.lookups,
        "hits": sum(cache.hits.values()),
        "hit_rate": cache.hit_rate,
        "levels": {
            level: {"hits": hits, "hit_rate": hits / cache.lookups if cache.lookups else None}
            for level, hits in cache.hits.items()
        },
    }


def _requests(figures: RequestFigures, latency: Distribution) -> dict[str, Any]:
    requests = asdict(figures)
    del requests["prompt_tokens"], requests["generated_tokens"]
    return {
        "paid_seconds": requests.pop("paid_s"),
        "cost": requests.pop("cost"),
        "tokens": _tokens(figures),
        "requests": requests,
        "latency_seconds": latency.summary(),
    }


def _tokens(figures: RequestFigures) -> dict[str, int]:
    return {"prompt": figures.prompt_tokens, "generated": figures.generated_tokens}


def _recording(outcome: RecordingOutcome) -> dict[str, Any]:
    return {**asdict(outcome), "at": utc_time(outcome.at)}

"""`stats --json`: one object, for scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sttbatch.core.figures import RecordingOutcome
from sttbatch.monitoring.aggregator import Distribution
from sttbatch.monitoring.statistics import Group, Statistics

OUTCOMES = ("transcribed", "cached", "unchanged", "failed")
JOB_STATES = ("queued", "processing", "completed", "failed", "cancelled")


def stats_json(stats: Statistics, by: str | None, groups: Sequence[Group]) -> str:
    """All durations are in seconds unless a key says otherwise; null is unknown."""
    requests = asdict(stats.requests)
    facts: dict[str, Any] = {
        "since": _time(stats.window.since),
        "until": _time(stats.window.until),
        "audio_seconds": sum(stats.audio_s.values()),
        "paid_seconds": requests.pop("paid_s"),
        "cost": requests.pop("cost"),
        "saved_seconds": stats.cache.saved_s,
        "saved_cost": stats.cache.saved_cost,
        "runs": asdict(stats.runs),
        "recordings": {outcome: stats.recordings.get(outcome, 0) for outcome in OUTCOMES},
        "requests": requests,
        "latency_seconds": _percentiles(stats.latency),
        "queue_wait_seconds": _percentiles(stats.queue_wait),
        "rate_wait_seconds": _percentiles(stats.rate_wait),
        "preparation_seconds": _percentiles(stats.preparation),
        "cache": _cache(stats),
        "jobs": {state: stats.jobs.get(state.upper(), 0) for state in JOB_STATES},
        "throughput": {
            "audio_seconds_per_second": stats.throughput.audio_per_s,
            "busy_seconds": stats.throughput.busy_s,
            "lanes_used": stats.throughput.lanes_used,
            "lanes": stats.throughput.lanes,
            "busiest_minute": stats.throughput.busiest_minute,
            "rate_limit": stats.throughput.rate_limit,
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
        "slowest": [_recording(each) for each in stats.slowest],
        "failed": [_recording(each) for each in stats.failed],
    }
    if by is not None:
        facts["by"] = {by: [_group(each) for each in groups]}
    return json.dumps(facts)


def _cache(stats: Statistics) -> dict[str, Any]:
    lookups = stats.cache.lookups
    levels = {
        level: {"hits": hits, "hit_rate": hits / lookups if lookups else None}
        for level, hits in stats.cache.hits.items()
    }
    return {
        "lookups": lookups,
        "hits": sum(stats.cache.hits.values()),
        "hit_rate": stats.cache.hit_rate,
        "levels": levels,
    }


def _group(group: Group) -> dict[str, Any]:
    requests = asdict(group.requests)
    return {
        "name": group.name,
        "paid_seconds": requests.pop("paid_s"),
        "cost": requests.pop("cost"),
        "requests": requests,
        "latency_seconds": _percentiles(group.latency),
    }


def _percentiles(latencies: Distribution) -> dict[str, float | None]:
    named = {f"p{percent}": latencies.percentile(percent) for percent in (50, 95, 99)}
    return {**named, "mean": latencies.mean}


def _recording(outcome: RecordingOutcome) -> dict[str, Any]:
    return {**asdict(outcome), "at": _time(outcome.at)}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")

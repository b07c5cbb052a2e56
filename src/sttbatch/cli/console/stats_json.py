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


def stats_json(found: Statistics, by: str | None, groups: Sequence[Group]) -> str:
    """Seconds throughout, except where a name says otherwise; what is not known is null."""
    requests = asdict(found.requests)
    facts: dict[str, Any] = {
        "since": _time(found.window.since),
        "until": _time(found.window.until),
        "audio_seconds": sum(found.audio_s.values()),
        "paid_seconds": requests.pop("paid_s"),
        "cost": requests.pop("cost"),
        "saved_seconds": found.cache.saved_s,
        "saved_cost": found.cache.saved_cost,
        "runs": asdict(found.runs),
        "recordings": {outcome: found.recordings.get(outcome, 0) for outcome in OUTCOMES},
        "requests": requests,
        "latency_seconds": _percentiles(found.latency),
        "queue_wait_seconds": _percentiles(found.queue_wait),
        "rate_wait_seconds": _percentiles(found.rate_wait),
        "preparation_seconds": _percentiles(found.preparation),
        "cache": _cache(found),
        "jobs": {state: found.jobs.get(state.upper(), 0) for state in JOB_STATES},
        "throughput": {
            "audio_seconds_per_second": found.throughput.audio_per_s,
            "busy_seconds": found.throughput.busy_s,
            "lanes_used": found.throughput.lanes_used,
            "lanes": found.throughput.lanes,
            "busiest_minute": found.throughput.busiest_minute,
            "rate_limit": found.throughput.rate_limit,
        },
        "errors": dict(found.errors),
        "retries": dict(found.retries),
        "connections": dict(found.connections),
        "audit": {
            "gaps": {"found": found.repair.gap_count, **found.repair.gaps},
            "loops": found.repair.loops,
            "unfounded": found.repair.unfounded,
            "asked_seconds": found.repair.asked_s,
        },
        "slowest": [_recording(each) for each in found.slowest],
        "failed": [_recording(each) for each in found.failed],
    }
    if by is not None:
        facts["by"] = {by: [_group(each) for each in groups]}
    return json.dumps(facts)


def _cache(found: Statistics) -> dict[str, Any]:
    lookups = found.cache.lookups
    levels = {
        level: {"hits": hits, "hit_rate": hits / lookups if lookups else None}
        for level, hits in found.cache.hits.items()
    }
    return {
        "lookups": lookups,
        "hits": sum(found.cache.hits.values()),
        "hit_rate": found.cache.hit_rate,
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


def _percentiles(found: Distribution) -> dict[str, float | None]:
    named = {f"p{percent}": found.percentile(percent) for percent in (50, 95, 99)}
    return {**named, "mean": found.mean}


def _recording(outcome: RecordingOutcome) -> dict[str, Any]:
    return {**asdict(outcome), "at": _time(outcome.at)}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")

"""The summary of a run and of a forecast, as lines of text and as JSON objects for the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sttbatch.cli.console.text import clock, counted, printable
from sttbatch.kinds.transcription.report import BatchForecast, BatchReport, Outcome

CURRENCY = "RUB"


def summary_line(report: BatchReport, wall_s: float) -> str:
    """The line that every run ends with."""
    parts = [
        f"{counted(report.count(Outcome.DONE), 'recording')} done",
        f"{report.audio_s / 60:.1f} min",
        f"{counted(report.sent, 'chunk')} sent",
        f"{report.from_cache} from cache",
        f"{report.count(Outcome.FAILED)} failed",
    ]
    if report.gaps:
        gaps = (f"{count} {reason}" for reason, count in sorted(report.gaps.items()))
        parts.append(f"gaps: {' + '.join(gaps)}")
    optional = {
        f"{counted(report.dropped, 'line')} that nobody spoke": report.dropped,
        f"{report.count(Outcome.LEFT)} left for the next run": report.count(Outcome.LEFT),
        f"{report.count(Outcome.TAKEN)} claimed by another run": report.count(Outcome.TAKEN),
        f"{report.count(Outcome.CANCELLED)} cancelled": report.count(Outcome.CANCELLED),
        f"{counted(report.skipped, 'other file')} skipped": report.skipped,
        f"{report.recently_modified} modified too recently": report.recently_modified,
    }
    parts += [text for text, count in optional.items() if count]
    cost = f"cost {report.cost:.2f} {CURRENCY}"
    if report.maybe_paid:
        cost += f" ({counted(report.maybe_paid, 'request')} possibly billed)"
    return ", ".join([*parts, cost, clock(wall_s)])


def summary_facts(report: BatchReport, wall_s: float, exit_code: int) -> dict[str, Any]:
    """The last object of a JSON log."""
    return {
        "exit_code": exit_code,
        "error": None if report.fatal is None else str(report.fatal),
        **{outcome.value: report.count(outcome) for outcome in Outcome},
        "from_cache": report.from_cache,
        "skipped": report.skipped,
        "too_young": report.recently_modified,
        "dropped": report.dropped,
        "audio_seconds": round(report.audio_s, 3),
        "chunks_sent": report.sent,
        "cost": round(report.cost, 6),
        "maybe_paid": report.maybe_paid,
        "wall_seconds": round(wall_s, 3),
    }


def error_facts(error: object, exit_code: int) -> Mapping[str, Any]:
    """The last object of the log of a run that failed before it began."""
    return summary_facts(BatchReport(), 0.0, exit_code) | {"error": str(error)}


def forecast_lines(forecast: BatchForecast) -> list[str]:
    """The lines that --dry-run prints: one per recording, then the total."""
    lines = [
        f"{printable(one.display_path)}: {one.audio_s / 60:.1f} min, "
        f"{counted(one.chunks, 'chunk')} ({one.reason})"
        if one.chunks
        else f"{printable(one.display_path)}: nothing to send ({one.reason})"
        for one in forecast.recordings
    ]
    total = forecast_facts(forecast)
    basis = (
        f"estimated from {counted(forecast.samples, 'earlier request')}"
        if forecast.samples
        else "no requests yet: a guess"
    )
    lines.append(
        f"would send {counted(total['chunks'], 'chunk')}, {total['audio_seconds'] / 60:.1f} min, "
        f"cost {total['cost']:.2f} {CURRENCY}, about {clock(forecast.expected_s)} ({basis})"
    )
    return lines


def forecast_facts(forecast: BatchForecast) -> dict[str, Any]:
    """The totals of a forecast, for the log."""
    recordings = forecast.recordings
    return {
        "recordings": sum(recording.chunks > 0 for recording in recordings),
        "chunks": sum(recording.chunks for recording in recordings),
        "audio_seconds": round(sum(recording.audio_s for recording in recordings), 3),
        "cost": round(sum(recording.cost for recording in recordings), 6),
        "wall_seconds": round(forecast.expected_s, 3),
    }

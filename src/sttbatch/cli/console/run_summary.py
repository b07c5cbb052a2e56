"""The summary of a run and of a forecast, as lines of text and as JSON objects for the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sttbatch.cli.console.text import clock, counted, printable
from sttbatch.kinds.report import BatchForecast, BatchReport, Outcome

if TYPE_CHECKING:
    from sttbatch.kinds.language.forecast import LanguageForecast, TextForecast

CURRENCY = "RUB"


def summary_line(report: BatchReport, wall_s: float, *, is_language: bool = False) -> str:
    """The line that every run ends with; `is_language`: it asked language models."""
    parts = [
        f"{counted(report.count(Outcome.DONE), 'recording')} done",
        f"{report.audio_s / 60:.1f} min",
        f"{counted(report.sent, 'request')} sent, {report.tokens:,} tokens"
        if is_language
        else f"{counted(report.sent, 'chunk')} sent",
        f"{report.from_cache} from cache",
        f"{report.count(Outcome.FAILED)} failed",
    ]
    if report.gaps:
        gaps = (f"{count} {reason}" for reason, count in sorted(report.gaps.items()))
        parts.append(f"gaps: {' + '.join(gaps)}")
    optional = {
        f"{counted(report.dropped, 'statement')} left out"
        if is_language
        else f"{counted(report.dropped, 'line')} that nobody spoke": report.dropped,
        f"{report.replaced} replaced": report.replaced,
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
        "replaced": report.replaced,
        "audio_seconds": round(report.audio_s, 3),
        "chunks_sent": report.sent,
        "cost": round(report.cost, 6),
        "maybe_paid": report.maybe_paid,
        "wall_seconds": round(wall_s, 3),
    }


def language_facts(report: BatchReport, wall_s: float, exit_code: int) -> dict[str, Any]:
    """The last object of the JSON log of a run that asked language models."""
    facts = summary_facts(report, wall_s, exit_code)
    return facts | {"requests_sent": facts.pop("chunks_sent"), "tokens": report.tokens}


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


def language_forecast_lines(forecast: LanguageForecast) -> list[str]:
    """The lines that --dry-run of a task prints: one per recording, then the total."""
    lines = []
    for one in forecast.recordings:
        name = printable(one.display_path)
        if not one.questions:
            lines.append(f"{name}: nothing to send")
            continue
        text = f"{counted(one.questions, 'question')}, {one.tokens.total:,} tokens"
        if one.transcription is not None:
            minutes = f"{one.transcription.audio_s / 60:.1f} min"
            text = f"{minutes} to transcribe first, then about {text}: a guess"
        lines.append(f"{name}: {text}")
    lines += [
        f"{printable(one.display_path)}: no transcript yet"
        for one in forecast.missing
        if one.expected and not any(each.transcription for each in forecast.recordings)
    ]
    total = language_forecast_facts(forecast)
    minutes = total["audio_seconds"] / 60
    audio = f"{minutes:.1f} min to transcribe, and " if minutes else ""
    basis = "estimated from earlier questions" if forecast.earlier else "estimated from the texts"
    price = "" if forecast.is_priced else ", without the model's price, which nobody says"
    lines.append(
        f"would send {audio}{counted(total['questions'], 'question')}: "
        f"{total['prompt_tokens']:,} tokens, {total['generated_tokens']:,} in the answers, "
        f"cost {total['cost']:.2f} {CURRENCY}{price} ({basis})"
    )
    return lines


def language_forecast_facts(forecast: LanguageForecast) -> dict[str, Any]:
    """The totals of a task's forecast, for the log."""
    recordings = forecast.recordings
    return {
        "recordings": sum(one.questions > 0 for one in recordings),
        "questions": sum(one.questions for one in recordings),
        "prompt_tokens": sum(one.tokens.prompt for one in recordings),
        "generated_tokens": sum(one.tokens.generated for one in recordings),
        "audio_seconds": round(sum(map(_audio_to_send_s, recordings)), 3),
        "cost": round(sum(one.cost for one in recordings), 6),
    }


def _audio_to_send_s(one: TextForecast) -> float:
    sent = one.transcription
    return sent.audio_s if sent is not None and sent.chunks else 0.0


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

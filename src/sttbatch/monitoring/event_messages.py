"""Events as lines for people."""

from __future__ import annotations

from sttbatch.core import events
from sttbatch.monitoring.alerts import alert_message


def event_message(event: events.Event) -> str:
    """One line; the recording and the chunk come first."""
    text = _chunk_text(event) or _job_text(event) or _run_text(event)
    return f"{event.recording}: {text}" if event.recording else text


def _chunk_text(event: events.Event) -> str:  # noqa: PLR0911 - one for each event
    match event:
        case events.ChunkProcessingStarted(_, index, audio_s):
            return f"chunk {index}: sending {audio_s:.1f} s"
        case events.ChunkProcessingCompleted(_, index, audio_s, cached):
            return f"chunk {index}: {audio_s:.1f} s {'from cache' if cached else 'transcribed'}"
        case events.ChunkProcessingFailed(_, index, audio_s, reason):
            return f"chunk {index}: {audio_s:.1f} s FAILED: {reason}"
        case events.ChunkSplit(_, index, reason):
            return f"chunk {index}: again, {reason}"
        case events.APIRequestCompleted():
            return _request(event)
        case events.ChunkAudited():
            return _audit(event)
    return ""


def _audit(event: events.ChunkAudited) -> str:
    parts = [
        f"{count} {name}"
        for name, count in (
            ("gaps found", event.found),
            ("filled", event.filled),
            ("without speech", event.no_speech),
            ("refused", event.refused),
            ("still missing", event.still_missing),
            ("loops", event.loops),
            ("segments over silence", event.unfounded),
        )
        if count
    ]
    return f"chunk {event.index}: audit: {', '.join(parts)}; {event.asked_s:.1f} s asked again"


def _request(event: events.APIRequestCompleted) -> str:
    if event.status is not None:
        outcome = f"answer {event.status}"
    else:
        # The local engine has no statuses.
        outcome = "no answer" if event.error else "heard"
    parts = [
        f"{outcome} after {event.latency_s:.2f} s",
        f"{event.sent_bytes / 1e6:.2f} MB",
        f"attempt {event.attempt}",
    ]
    if event.rate_wait_s >= 0.01:
        parts.append(f"waited {event.rate_wait_s:.2f} s for the rate limit")
    if event.maybe_paid:
        parts.append("possibly billed")
    if event.request_id:
        parts.append(f"request {event.request_id}")
    if event.error:
        parts.append(event.error)
    return f"chunk {event.index}: {', '.join(parts)}"


def _job_text(event: events.Event) -> str:  # noqa: PLR0911 - one for each event
    match event:
        case events.JobQueued(_, audio_s):
            return f"queued, {audio_s:.1f} s"
        case events.JobStarted(_, job):
            return f"begun as job {job}"
        case events.FileProcessingCompleted(_, outputs):
            return f"written: {', '.join(outputs)}" if outputs else "printed"
        case events.JobCompleted(_, audio_s, cached):
            return f"done, {audio_s:.1f} s {'from cache' if cached else 'transcribed'}"
        case events.JobFailed(_, _, reason):
            return f"FAILED: {reason}"
        case events.CacheLookup(_, key, level):
            return f"{'not cached' if level is None else f'found in {level}'}: {key[:18]}"
    return ""


def _run_text(event: events.Event) -> str:
    match event:
        case events.BatchPlanned():
            return (
                f"plan: {event.chunks} chunks, {event.audio_s / 60:.1f} min, "
                f"about {event.expected_s:.0f} s"
            )
        case events.ConnectionsClosed():
            return (
                f"connections: {event.opened} opened, {event.reused} times reused, "
                f"{event.replaced} replaced"
            )
        case events.ConcurrencyChanged():
            return f"concurrency {event.old} -> {event.new}: {event.reason}"
        case events.Warned():
            return f"warning: {event.message}"
        case events.AlertTriggered():
            return alert_message(event)
    return type(event).__name__

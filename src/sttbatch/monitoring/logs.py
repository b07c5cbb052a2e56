"""Events as log lines, as text or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from sttbatch.core import events
from sttbatch.monitoring.alerts import alert_message

FAILURES = (events.JobFailed, events.ChunkProcessingFailed, events.AlertTriggered)
_ENDS = (events.JobCompleted, events.JobFailed, events.JobSkipped)
_TIMINGS = (events.AnswerStored, events.TranscriptMerged, events.OutputsWritten)
"""Events that only scripts read, as JSON."""


class EventLog:
    """Writes events to a stream, one line each.

    Lines that cannot be written are lost; after a broken pipe nothing more is written.

    Args:
        as_json: one object a line with `time` (ISO 8601, UTC), `event`, `recording`, `job` (its
            id; null before it is claimed) and the fields of the event; otherwise text.
        failures_only: write failures and alerts only.
        printable: escapes control characters for a terminal.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        as_json: bool,
        failures_only: bool = False,
        printable: Callable[[str], str] = str,
    ) -> None:
        self._stream = stream
        self._as_json = as_json
        self._failures_only = failures_only
        self._printable = printable
        self._jobs: dict[str, str] = {}
        self._has_reader = True

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.JobStarted):
            self._jobs[event.recording] = event.job
        if not self._failures_only or isinstance(event, FAILURES):
            self._write_event(event)
        if isinstance(event, _ENDS):
            self._jobs.pop(event.recording, None)

    def _write_event(self, event: events.Event) -> None:
        if not self._as_json:
            if not isinstance(event, _TIMINGS):
                self._write(f"{_local_time()} {self._printable(event_message(event))}")
            return
        facts = msgspec.to_builtins(event, enc_hook=str)
        if "index" in facts:
            facts["chunk"] = facts.pop("index")
        job = self._jobs.get(event.recording)
        self._object(type(event).__name__, {"job": job} | facts)

    def summary(self, line: str, facts: Mapping[str, Any]) -> None:
        """Write the last line: `facts` with the event `summary`, or `line` as text."""
        if self._as_json:
            self._object("summary", facts)
        else:
            self._write(f"{_local_time()} {line}")

    def _object(self, event: str, facts: Mapping[str, Any]) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._write(json.dumps({"time": time, "event": event, **facts}, default=str))

    def _write(self, line: str) -> None:
        if not self._has_reader:
            return
        # A full disk or a closed pipe must not fail the run.
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except BrokenPipeError:
            self._has_reader = False
        except OSError:
            # The disk may have space again for the next event.
            pass


def _local_time() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")


_TEXTS: dict[type[events.Event], str] = {
    events.ChunkPrepared: "{chunk}: {0.audio_s:.1f} s cut and encoded in {0.preparation_s:.2f} s",
    events.ChunkProcessingStarted: "{chunk}: sending {0.audio_s:.1f} s",
    events.ChunkProcessingCompleted: "{chunk}: {0.audio_s:.1f} s {how}",
    events.ChunkProcessingFailed: "{chunk}: {0.audio_s:.1f} s FAILED: {0.reason}",
    events.ChunkSplit: "{chunk}: sent {0.reason}",
    events.AnswerStored: "{chunk}: stored in {0.store_s:.2f} s",
    events.JobQueued: "queued, {0.audio_s:.1f} s",
    events.JobStarted: "started as job {0.job}",
    events.JobCompleted: "done, {0.audio_s:.1f} s {how}",
    events.JobFailed: "FAILED: {0.reason}",
    events.JobSkipped: "skipped: {0.reason}",
    events.JobRetryScheduled: "retry {0.retry_count}: {0.reason}",
    events.TranscriptMerged: "chunks merged in {0.merge_s:.2f} s",
    events.OutputsWritten: "outputs written in {0.write_s:.2f} s",
    events.ConnectionsClosed: "connections: {0.opened} opened, reused {0.reused} times, "
    "{0.replaced} replaced",
    events.ConcurrencyChanged: "concurrency {0.old} -> {0.new}: {0.reason}",
    events.FilesSkipped: "skipped: {0.skipped} other files, {0.too_young} modified too recently",
    events.RunStopped: "the run stops: {0.error}",
    events.QuestionAnswered: "question {0.index}: {0.prompt_tokens} tokens, "
    "{0.generated_tokens} in the answer",
    events.MetricsServed: "metrics are served on port {0.port}",
    events.Warned: "warning: {0.message}",
}
"""Templates of texts; `0` is the event."""


def event_message(event: events.Event) -> str:
    """One line of text, with the recording and the chunk first."""
    piece = getattr(event, "piece", None)
    chunk = f"chunk {getattr(event, 'index', '')}" + (f", piece {piece}" if piece else "")
    match event:
        case events.APIRequestCompleted():
            # What has no audio asks a language model.
            what = chunk if event.audio_s else f"question {event.index}"
            text = f"{what}: {_request(event)}"
        case events.ChunkAudited():
            text = f"{chunk}: audit: {_audit(event)}"
        case events.FileProcessingCompleted(_, outputs):
            text = f"written: {', '.join(outputs)}" if outputs else "printed"
        case events.CacheLookup(_, key, level):
            text = f"{'not cached' if level is None else f'found in {level}'}: {key[:18]}"
        case events.BatchPlanned(_, audio_s, chunks, expected_s):
            text = f"plan: {chunks} chunks, {audio_s / 60:.1f} min, about {expected_s:.0f} s"
        case events.AlertTriggered():
            text = alert_message(event)
        case _:
            how = getattr(event, "how", "transcribed")
            how = "from cache" if getattr(event, "cached", False) else how
            text = _TEXTS[type(event)].format(event, chunk=chunk, how=how)
    return f"{event.recording}: {text}" if event.recording else text


def _audit(event: events.ChunkAudited) -> str:
    counts = {
        "gaps found": event.gaps,
        "filled": event.filled,
        "without speech": event.no_speech,
        "refused": event.refused,
        "still missing": event.still_missing,
        "loops": event.loops,
        "segments that nobody spoke": event.unfounded,
    }
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    return f"{', '.join(parts)}; {event.asked_s:.1f} s sent again"


def _request(event: events.APIRequestCompleted) -> str:
    if event.status is not None:
        outcome = f"answer {event.status}"
    else:
        # The local engine has no statuses.
        outcome = "no answer" if event.error else "transcribed"
    optional = (
        f"waited {event.rate_wait_s:.2f} s for the rate limit" if event.rate_wait_s >= 0.01 else "",
        "possibly billed" if event.maybe_paid else "",
        f"request {event.request_id}" if event.request_id else "",
        event.error or "",
    )
    return (
        f"{outcome} after {event.latency_s:.2f} s, {event.sent_bytes / 1e6:.2f} MB, "
        f"attempt {event.attempt}{''.join(f', {part}' for part in optional if part)}"
    )

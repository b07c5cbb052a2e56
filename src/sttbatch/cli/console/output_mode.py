"""Where a run's log goes: standard error, a file, or nowhere."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sttbatch.core.errors import UsageError
from sttbatch.kinds.transcription.report import BatchForecast, BatchReport, Outcome

if TYPE_CHECKING:
    from sttbatch.monitoring.logs import EventLog


@dataclass(frozen=True, slots=True)
class OutputMode:
    """How a run speaks.

    Attributes:
        bars: a terminal may be drawn on.
        log_file: the log goes there instead of to standard error.
        text: print the transcripts on standard output instead of writing files.
    """

    quiet: bool
    verbose: bool
    as_json: bool
    bars: bool
    text: bool
    log_file: Path | None = None

    @property
    def draws(self) -> bool:
        return self.bars and not self.logs_to_stderr

    @property
    def logs_to_stderr(self) -> bool:
        return self.log_file is None and (self.verbose or self.as_json)

    @property
    def is_json(self) -> bool:
        """Standard error holds JSON and nothing else."""
        return self.as_json and self.log_file is None


@contextlib.contextmanager
def event_log(voice: OutputMode) -> Iterator[EventLog | None]:
    """The log that the options ask for.

    Raises:
        UsageError: its file cannot be written.
    """
    if voice.log_file is None and not voice.logs_to_stderr:
        yield None
        return
    from sttbatch.cli.console.rendering import printable
    from sttbatch.monitoring.logs import EventLog

    if voice.log_file is None:
        yield EventLog(
            sys.stderr,
            as_json=voice.as_json,
            failures_only=voice.quiet,
            printable=printable,
        )
        return
    try:
        # Names of recordings are nobody else's business.
        descriptor = os.open(
            voice.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise UsageError(
            f"--log-file {voice.log_file}: {error.strerror}; name a file in a folder that exists"
        ) from error
    file = os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
    try:
        yield EventLog(file, as_json=voice.as_json, printable=printable)
    finally:
        # What a full disk did not take is tried again here.
        with contextlib.suppress(OSError):
            file.close()


def summary_facts(report: BatchReport, wall_s: float, exit_code: int) -> dict[str, Any]:
    """What the log's last object says."""
    return {
        "exit_code": exit_code,
        "error": None if report.fatal is None else str(report.fatal),
        "done": report.count(Outcome.DONE),
        "failed": report.count(Outcome.FAILED),
        "left": report.count(Outcome.LEFT),
        "taken": report.count(Outcome.TAKEN),
        "cancelled": report.count(Outcome.CANCELLED),
        "from_cache": sum(
            each.cached and each.outcome is Outcome.DONE for each in report.recordings
        ),
        "skipped": report.skipped,
        "too_young": report.too_young,
        "audio_seconds": round(report.audio_s, 3),
        "chunks_sent": report.sent,
        "cost": round(report.cost, 6),
        "maybe_paid": report.maybe_paid,
        "wall_seconds": round(wall_s, 3),
    }


def forecast_facts(forecast: BatchForecast) -> dict[str, Any]:
    """What --dry-run has found."""
    each = forecast.recordings
    return {
        "recordings": sum(one.chunks > 0 for one in each),
        "chunks": sum(one.chunks for one in each),
        "audio_seconds": round(sum(one.audio_s for one in each), 3),
        "cost": round(sum(one.cost for one in each), 6),
        "wall_seconds": round(forecast.expected_s, 3),
    }


def error_facts(error: object, exit_code: int) -> Mapping[str, Any]:
    """The same of a run that an error ended."""
    return summary_facts(BatchReport(), 0.0, exit_code) | {"error": str(error)}

"""Text for people: names and transcripts with nothing in them that a terminal would obey."""

from __future__ import annotations

import sys
import unicodedata

from sttbatch.cli.console.stdio import discard_stdout
from sttbatch.kinds.transcription.report import BatchForecast, BatchReport, Outcome

# Bidirectional marks make a line read as something else than it says.
_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def printable(text: str) -> str:
    """`text` with control, format and undecodable characters escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escaped(char) if unicodedata.category(char) in _UNSAFE_CATEGORIES else char
        for char in text
    )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


class Out:
    """Standard output that may close early: `| head -1` ends quietly, and the run goes on.

    Attributes:
        fault: why something could not be written, other than that nobody reads it any more.
    """

    def __init__(self) -> None:
        self._open = True
        self.fault: str | None = None

    def write(self, data: bytes) -> None:
        if not self._open:
            return
        try:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:
            self._open = False
            if not isinstance(error, BrokenPipeError):
                self.fault = error.strerror
            discard_stdout()

    def line(self, text: str) -> None:
        self.write(printable(text).encode("utf-8", "backslashreplace") + b"\n")


def clock(seconds: float) -> str:
    """1:02:03, or 2:03 below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def summary(report: BatchReport, wall_s: float, currency: str = "RUB") -> str:
    """The line that every run ends with."""
    done, failed = report.count(Outcome.DONE), report.count(Outcome.FAILED)
    cached = sum(each.cached and each.outcome is Outcome.DONE for each in report.recordings)
    parts = [
        f"{done} {'recording' if done == 1 else 'recordings'} done",
        f"{report.audio_s / 60:.1f} min",
        f"{report.sent} {'chunk' if report.sent == 1 else 'chunks'} sent",
        f"{cached} from cache",
        f"{failed} failed",
    ]
    if report.gaps:
        counted = (f"{count} {reason}" for reason, count in sorted(report.gaps.items()))
        parts.append(f"gaps: {' + '.join(counted)}")
    left = report.count(Outcome.LEFT)
    if left:
        parts.append(f"{left} left for the next run")
    taken = report.count(Outcome.TAKEN)
    if taken:
        parts.append(f"{taken} left to another run")
    cancelled = report.count(Outcome.CANCELLED)
    if cancelled:
        parts.append(f"{cancelled} cancelled")
    if report.skipped:
        parts.append(f"{report.skipped} other files skipped")
    if report.too_young:
        parts.append(f"{report.too_young} too young")
    cost = f"cost {report.cost:.2f} {currency}"
    if report.maybe_paid:
        cost += f" ({report.maybe_paid} requests maybe paid)"
    return ", ".join([*parts, cost, clock(wall_s)])


def forecast_lines(forecast: BatchForecast) -> list[str]:
    """What --dry-run prints."""
    lines = [
        f"{printable(each.display_path)}: {each.audio_s / 60:.1f} min, {each.chunks} "
        f"{'chunk' if each.chunks == 1 else 'chunks'} ({each.reason})"
        if each.chunks
        else f"{printable(each.display_path)}: nothing to send ({each.reason})"
        for each in forecast.recordings
    ]
    forecasts = forecast.recordings
    audio_s = sum(each.audio_s for each in forecasts)
    total = (
        f"would send {sum(each.chunks for each in forecasts)} chunks, {audio_s / 60:.1f} min, "
        f"cost {sum(each.cost for each in forecasts):.2f} RUB, about {clock(forecast.expected_s)} "
        f"({_basis(forecast.samples)})"
    )
    return [*lines, total]


def _basis(samples: int) -> str:
    if not samples:
        return "no requests yet: a guess"
    return f"estimated from {samples} earlier {'request' if samples == 1 else 'requests'}"

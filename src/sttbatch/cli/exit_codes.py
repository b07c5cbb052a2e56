"""Exit codes of the process; the README has the table."""

from __future__ import annotations

from sttbatch.core.errors import BudgetReached, EndpointRefused, SttbatchError, UsageError
from sttbatch.kinds.transcription.report import BatchReport, Outcome

OK = 0
SOME_FAILED = 1
WRONG_USAGE = 2
REFUSED = 3
BUDGET = 4
SIGNAL_BASE = 128


def exit_code(report: BatchReport, signal_number: int | None) -> int:
    """The exit code of a run. Where several apply: a signal, then 3, 4, 2, 1."""
    if signal_number is not None:
        return SIGNAL_BASE + signal_number
    if isinstance(report.fatal, EndpointRefused):
        return REFUSED
    if isinstance(report.fatal, BudgetReached):
        return BUDGET
    if isinstance(report.fatal, UsageError):
        return WRONG_USAGE
    failed = report.count(Outcome.FAILED) or report.count(Outcome.LEFT)
    return SOME_FAILED if failed or report.fatal is not None else OK


def error_exit_code(error: SttbatchError) -> int:
    """The exit code of a command that raised `error`."""
    if isinstance(error, UsageError):
        return WRONG_USAGE
    return REFUSED if isinstance(error, EndpointRefused) else SOME_FAILED

"""Exit codes of the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sttbatch.core.errors import BudgetReached, EndpointRefused, SttbatchError, UsageError

if TYPE_CHECKING:
    from sttbatch.kinds.report import BatchReport

OK = 0
SOME_FAILED = 1
WRONG_USAGE = 2
REFUSED = 3
BUDGET = 4
SIGNAL_BASE = 128

MEANINGS = {
    OK: "everything is transcribed, or there was nothing to do",
    SOME_FAILED: "some recordings failed; the others are transcribed",
    WRONG_USAGE: "wrong usage or settings, a missing key included: nothing was sent; or the "
    "endpoint does not serve the model",
    REFUSED: "the endpoint refuses the key (401, quota, a 403 for two recordings in a row)",
    BUDGET: "a budget is reached; run again to continue",
    f"{SIGNAL_BASE} + N": "ended by signal N; requests in flight are stored",
}
"""For the reference."""


def exit_code(report: BatchReport, signal_number: int | None) -> int:
    """The exit code of a run. Where several apply: a signal, then 3, 4, 2, 1."""
    if signal_number is not None:
        return SIGNAL_BASE + signal_number
    if report.fatal is not None:
        return error_exit_code(report.fatal)
    return SOME_FAILED if report.is_incomplete else OK


def error_exit_code(error: SttbatchError) -> int:
    """The exit code of a command or a run that `error` ended."""
    codes = {EndpointRefused: REFUSED, BudgetReached: BUDGET, UsageError: WRONG_USAGE}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), SOME_FAILED)

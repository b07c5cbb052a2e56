"""The log of a command that works for long, and its exit code however it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sttbatch.core.errors import SttbatchError, UsageError

if TYPE_CHECKING:
    from sttbatch.cli.console.progress import OutputMode
    from sttbatch.monitoring.logs import EventLog


def output_mode(
    *,
    quiet: bool,
    verbose: bool,
    log_format: str,
    log_file: Path | None,
    bars: bool,
    text: bool = False,
) -> OutputMode:
    """The output options of a command; raises UsageError for an unknown format."""
    from sttbatch.cli.console.progress import OutputMode

    if log_format not in {"text", "json"}:
        raise UsageError(f"--log-format is text or json, not {log_format!r}")
    return OutputMode(quiet, verbose, log_format == "json", bars, text, log_file)


def logged(mode: OutputMode, work: Callable[[EventLog | None], int]) -> int:
    """The exit code of `work`; the log always ends with a summary, however the run ends."""
    from sttbatch.cli.console.progress import event_log
    from sttbatch.cli.console.run_summary import error_facts
    from sttbatch.cli.exit_codes import SIGNAL_BASE, error_exit_code
    from sttbatch.cli.signals import exit_on_signal

    with event_log(mode) as log:
        try:
            with exit_on_signal():
                return work(log)
        except SystemExit as ended:
            code = int(ended.code or 0)
            if log is not None:
                reason = f"ended by signal {code - SIGNAL_BASE}"
                log.summary(reason, error_facts(reason, code))
            return code
        except SttbatchError as error:
            code = error_exit_code(error)
            if log is not None:
                log.summary(f"ended: {error}", error_facts(error, code))
            if mode.is_json:
                return code
            raise

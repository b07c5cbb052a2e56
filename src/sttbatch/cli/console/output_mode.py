"""How a run reports: where its log goes, and whether progress is drawn."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sttbatch.cli.console.text import printable
from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.monitoring.logs import EventLog


@dataclass(frozen=True, slots=True)
class OutputMode:
    """What the options of a run say about its output.

    Attributes:
        bars: progress bars may be drawn on the terminal.
        text: transcripts are printed on standard output instead of written to files.
        log_file: the log is appended there instead of written to standard error.
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
def event_log(mode: OutputMode) -> Iterator[EventLog | None]:
    """The log that the options ask for; None: there is none.

    Raises:
        UsageError: its file cannot be written.
    """
    if mode.log_file is None and not mode.logs_to_stderr:
        yield None
        return
    from sttbatch.monitoring.logs import EventLog

    if mode.log_file is None:
        yield EventLog(
            sys.stderr, as_json=mode.as_json, failures_only=mode.quiet, printable=printable
        )
        return
    try:
        # Names of recordings are private.
        descriptor = os.open(
            mode.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise UsageError(
            f"--log-file {mode.log_file}: {error.strerror}; name a file in a folder that exists"
        ) from error
    file = os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
    try:
        yield EventLog(file, as_json=mode.as_json, printable=printable)
    finally:
        # Closing flushes what is still buffered, and fails once more where the disk is full.
        with contextlib.suppress(OSError):
            file.close()

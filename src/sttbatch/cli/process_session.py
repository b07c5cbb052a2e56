"""ProcessSession: a process that works until a signal, its display, log and exit code."""

from __future__ import annotations

import time
from collections.abc import Callable

from sttbatch.cli.console.text import printable
from sttbatch.cli.exit_codes import OK, SIGNAL_BASE, SOME_FAILED, error_exit_code
from sttbatch.cli.run_session import Session
from sttbatch.composition.long_lived import LongLivedProcess
from sttbatch.composition.process_limits import collect_garbage
from sttbatch.core.errors import SttbatchError


class ProcessSession(Session):
    """What the sessions of long-lived processes share; a subclass counts `_done` and `_failed`."""

    _done = 0
    _failed = 0

    async def _run_to_signal(
        self, process: LongLivedProcess, line_after: Callable[[float], str]
    ) -> int:
        """Run a process, and say how it ended, by a line for its wall seconds; the exit code."""
        collect_garbage()
        started_at, signals = time.monotonic(), self._signals
        signals.stop = process.drain
        error: SttbatchError | None = None
        with signals, signals.absorb_cancellation():
            try:
                await process.run()
            except SttbatchError as raised:
                error = raised
        code = OK if error is None else error_exit_code(error)
        if signals.first is not None:
            code = SIGNAL_BASE + signals.first
        elif code == OK and self._output.fault:
            code = SOME_FAILED
        if error is not None:
            self._say(f"sttbatch: {printable(str(error))}", important=True)
        wall_s = time.monotonic() - started_at
        line, reason = line_after(wall_s), None if error is None else str(error)
        self._say(line)
        facts = {"exit_code": code, "error": reason, "done": self._done, "failed": self._failed}
        self._log_summary(line, facts | {"wall_seconds": round(wall_s, 3)}, code)
        return code

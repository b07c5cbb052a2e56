"""What ends a run early: a signal, a budget, an error that concerns every recording, a bug."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from sttbatch.core import events
from sttbatch.core.errors import (
    BudgetReached,
    EndpointRefused,
    RecordingError,
    RecordingRefused,
    Stopped,
    SttbatchError,
)
from sttbatch.kinds.transcription.recording_job import Lanes, RecordingJob


@dataclass(slots=True, eq=False)
class RunControl:
    """Stops one run, and keeps the reason.

    Attributes:
        error: why the run ended early; the first reason counts.
    """

    lanes: Lanes
    emit: events.Emit
    fail_fast: bool
    error: SttbatchError | None = field(default=None, init=False)
    _forbidden: RecordingJob | None = field(default=None, init=False)
    _bug: Exception | None = field(default=None, init=False)

    @property
    def closed(self) -> bool:
        """Whether nothing new is begun any more."""
        return self.lanes.closed

    def stop(self) -> None:
        """Begin nothing new; what is in flight is finished and stored."""
        self.lanes.stop()

    def abort(self, error: SttbatchError) -> None:
        """Stop for a reason that concerns every recording."""
        self._note(error)
        self.stop()

    def budget_reached(self, error: BudgetReached) -> None:
        """Claim nothing more; what is claimed already is covered, so it is still sent."""
        self._note(error)
        self.lanes.close()

    def recording_failed(self) -> None:
        """Stop if the user wants no recording to be begun after one that failed."""
        if self.fail_fast:
            self.stop()

    def served(self) -> None:
        """Note that the endpoint has answered a request, so it does not refuse us."""
        self._forbidden = None

    def raise_bug(self) -> None:
        """Raise what no error of ours accounts for, now that all that was in flight is stored."""
        if self._bug is not None:
            raise self._bug

    @contextlib.contextmanager
    def guard(self, job: RecordingJob | None = None) -> Iterator[None]:
        """Let an error end what it concerns, the recording or the run, and nothing else."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a bug must not cost siblings their answers
            if job is not None and isinstance(error, RecordingError):
                job.fail(str(error))
                if isinstance(error, RecordingRefused):
                    self._after_forbidden(job, error)
                return
            if job is not None:
                job.interrupt()
            if isinstance(error, BudgetReached):
                self.budget_reached(error)
            elif isinstance(error, SttbatchError):
                if not isinstance(error, Stopped):
                    self.abort(error)
            else:
                self._bug = self._bug or error
                self.stop()

    def _after_forbidden(self, job: RecordingJob, error: RecordingRefused) -> None:
        """One recording may be forbidden; a second one in a row means us."""
        if self._forbidden not in (None, job):
            self.abort(EndpointRefused(f"the endpoint refuses us: {error}"))
        self._forbidden = job

    def _note(self, error: SttbatchError) -> None:
        if self.error is None:
            self.error = error
            self.emit(events.RunStopped("", error))

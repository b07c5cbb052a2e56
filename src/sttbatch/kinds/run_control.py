"""RunControl: ends a run early, for a signal, a budget, an error of the whole run or a bug."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from sttbatch.core import events
from sttbatch.core.errors import (
    BudgetReached,
    EndpointRefused,
    RecordingError,
    RecordingRefused,
    Stopped,
    SttbatchError,
)
from sttbatch.processing.scheduling.orchestrator import ParallelOrchestrator


class RunningJob(Protocol):
    """A job that an error may end; `hindered`: the error is a hindrance, so it loses no retry."""

    hindered: bool

    def fail(self, error: SttbatchError) -> None:
        """Begin to fail; the first reason counts."""

    def interrupt(self) -> None:
        """Note that the run does not continue with it."""


@dataclass(slots=True, eq=False)
class Refusals:
    """The recording that the endpoint forbade last, in any run of the process; None: it served."""

    forbidden: RunningJob | None = None


@dataclass(slots=True, eq=False, weakref_slot=True)
class RunControl:
    """Stops one run; `error` is why it ended early, of which the first reason counts."""

    lanes: ParallelOrchestrator[Any, Any]
    emit: events.Emit
    fail_fast: bool
    refusals: Refusals = field(default_factory=Refusals)
    error: SttbatchError | None = field(default=None, init=False)
    _bug: Exception | None = field(default=None, init=False)

    @property
    def closed(self) -> bool:
        """Whether nothing new is begun."""
        return self.lanes.closed

    def stop(self) -> None:
        """Begin nothing new; requests in flight are finished and stored."""
        self.lanes.stop()

    def abort(self, error: SttbatchError) -> None:
        """Stop for a reason that concerns every recording."""
        self._note(error)
        self.stop()

    def budget_reached(self, error: BudgetReached) -> None:
        """Claim nothing more; claimed chunks are within the budget and are still sent."""
        self._note(error)
        self.lanes.close()

    def recording_failed(self) -> None:
        """Stop if `fail_fast` is set."""
        if self.fail_fast:
            self.stop()

    def served(self) -> None:
        """Note that the endpoint has answered a request, so that it does not refuse all."""
        self.refusals.forbidden = None

    def raise_bug(self) -> None:
        """Raise an unexpected error, after requests in flight are stored."""
        if self._bug is not None:
            raise self._bug

    @contextlib.contextmanager
    def guard(self, job: RunningJob | None = None) -> Iterator[None]:
        """Let an error end only the recording or the run, whichever it concerns."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a bug must not lose answers of other chunks
            if job is not None and isinstance(error, RecordingError):
                job.fail(error)
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

    def _after_forbidden(self, job: RunningJob, error: RecordingRefused) -> None:
        """End the run if the recording before was forbidden too."""
        if self.refusals.forbidden not in (None, job):
            job.hindered = True
            self.abort(
                EndpointRefused(
                    f"the endpoint refuses requests: {error}; `sttbatch doctor` tells more"
                )
            )
        self.refusals.forbidden = job

    def _note(self, error: SttbatchError) -> None:
        if self.error is None:
            self.error = error
            self.emit(events.RunStopped("", error))

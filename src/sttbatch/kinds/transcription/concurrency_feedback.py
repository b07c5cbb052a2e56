"""How many lanes there are: as many as the user said, or as the endpoint's answers allow."""

from __future__ import annotations

import time

from sttbatch.core import events
from sttbatch.core.engine import APIRequest
from sttbatch.kinds.transcription.recording_job import ChunkWork, Job
from sttbatch.processing.scheduling.adaptive_concurrency import AdaptiveConcurrency, RequestOutcome
from sttbatch.processing.scheduling.orchestrator import ParallelOrchestrator

TOO_MANY_REQUESTS = 429


class ConcurrencyFeedback:
    """Gives the orchestrator as many lanes as `adaptive` finds right.

    Args:
        adaptive: None: the number of lanes stays as it is.
    """

    def __init__(
        self,
        orchestrator: ParallelOrchestrator[Job, ChunkWork],
        adaptive: AdaptiveConcurrency | None,
        emit: events.Emit,
    ) -> None:
        self._orchestrator = orchestrator
        self._adaptive = adaptive
        self._emit = emit
        if adaptive is not None:
            orchestrator.limit = adaptive.limit

    def observe(self, post: APIRequest) -> None:
        """One post, while the lane it was sent from is still taken."""
        if self._adaptive is None:
            return
        change = self._adaptive.observe(
            time.monotonic(),
            post.latency_s,
            post.audio_s,
            _outcome(post),
            self._orchestrator.busy_lanes,
        )
        if change is not None:
            self._orchestrator.limit = change.new
            self._emit(events.ConcurrencyChanged("", change.old, change.new, change.reason))


def _outcome(post: APIRequest) -> RequestOutcome:
    if post.status == TOO_MANY_REQUESTS:
        return RequestOutcome.SLOW_DOWN
    return RequestOutcome.OK if post.paid else RequestOutcome.OTHER

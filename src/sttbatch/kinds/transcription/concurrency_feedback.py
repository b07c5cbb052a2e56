"""How many lanes there are: as many as the user said, or as the endpoint's answers allow."""

from __future__ import annotations

import time

from sttbatch.core import events
from sttbatch.core.engine import APIRequest
from sttbatch.kinds.transcription.recording_job import Lanes
from sttbatch.processing.scheduling.adaptive_concurrency import AdaptiveConcurrency, RequestOutcome

TOO_MANY_REQUESTS = 429


class ConcurrencyFeedback:
    """Opens as many lanes as `adaptive` finds right.

    Args:
        adaptive: None: the number of lanes stays as it is.
    """

    def __init__(
        self,
        lanes: Lanes,
        adaptive: AdaptiveConcurrency | None,
        emit: events.Emit,
    ) -> None:
        self._lanes = lanes
        self._adaptive = adaptive
        self._emit = emit
        if adaptive is not None:
            lanes.limit = adaptive.limit

    def observe(self, request: APIRequest) -> None:
        """Learn from one request, while the lane it was sent from is still taken."""
        if self._adaptive is None:
            return
        change = self._adaptive.observe(
            time.monotonic(),
            request.latency_s,
            request.audio_s,
            _outcome(request),
            self._lanes.busy_lanes,
        )
        if change is not None:
            self._lanes.limit = change.new
            self._emit(events.ConcurrencyChanged("", change.old, change.new, change.reason))


def _outcome(request: APIRequest) -> RequestOutcome:
    if request.status == TOO_MANY_REQUESTS:
        return RequestOutcome.SLOW_DOWN
    return RequestOutcome.OK if request.paid else RequestOutcome.OTHER

"""How many lanes there are: as many as the user said, or as the endpoint's answers allow."""

from __future__ import annotations

import time

from sttbatch.core import events
from sttbatch.core.engine import APIRequest
from sttbatch.processing.scheduling.adaptive_concurrency import AdaptiveConcurrency, RequestOutcome
from sttbatch.processing.scheduling.priority_semaphore import PrioritySemaphore

TOO_MANY_REQUESTS = 429


class ConcurrencyFeedback:
    """Opens as many lanes as `adaptive` finds right.

    Args:
        adaptive: None: the number of lanes stays as it is.
    """

    def __init__(
        self,
        lanes: PrioritySemaphore,
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
        old = self._adaptive.limit
        reason = self._adaptive.observe(
            time.monotonic(),
            request.latency_s,
            request.audio_s,
            _outcome(request),
            self._lanes.in_use,
        )
        if reason is not None:
            self._lanes.limit = self._adaptive.limit
            self._emit(events.ConcurrencyChanged("", old, self._lanes.limit, reason))


def _outcome(request: APIRequest) -> RequestOutcome:
    if request.status == TOO_MANY_REQUESTS:
        return RequestOutcome.SLOW_DOWN
    return RequestOutcome.OK if request.paid else RequestOutcome.OTHER

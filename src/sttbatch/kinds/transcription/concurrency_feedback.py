"""How many lanes there are: as many as the user said, or as the endpoint's answers allow."""

from __future__ import annotations

import time
from collections.abc import Callable

from sttbatch.core import events
from sttbatch.core.engine import APIRequest
from sttbatch.execution.pay_once import TOO_MANY_REQUESTS
from sttbatch.processing.scheduling.adaptive_concurrency import AdaptiveConcurrency, RequestOutcome
from sttbatch.processing.scheduling.priority_semaphore import PrioritySemaphore


def concurrency_feedback(
    lanes: PrioritySemaphore, adaptive: AdaptiveConcurrency | None, emit: events.Emit
) -> Callable[[APIRequest], None]:
    """What is told of each request, while its lane is still taken, and opens or closes lanes.

    `adaptive` None: their number stays as it is.
    """
    if adaptive is None:
        return lambda request: None
    lanes.limit = adaptive.limit

    def observe(request: APIRequest) -> None:
        outcome = RequestOutcome.OK if request.paid else RequestOutcome.OTHER
        if request.status == TOO_MANY_REQUESTS:
            outcome = RequestOutcome.SLOW_DOWN
        old, now = adaptive.limit, time.monotonic()
        reason = adaptive.observe(now, request.latency_s, request.audio_s, outcome, lanes.in_use)
        if reason is not None:
            lanes.limit = adaptive.limit
            emit(events.ConcurrencyChanged("", old, lanes.limit, reason))

    return observe

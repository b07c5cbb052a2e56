"""`-j auto`: adapts the number of requests in flight to latencies and 429s."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from sttbatch.core import events
from sttbatch.core.engine import APIRequest
from sttbatch.processing.scheduling.latency_model import LatencySample, slowdown
from sttbatch.processing.scheduling.orchestrator import PrioritySemaphore

START = 2
LARGE_START = 4
"""The first level of a batch of `LARGE_BATCH` chunks: what is sent at once without `-j auto`."""

LARGE_BATCH = 40
TWO_AT_A_TIME = 4
"""Below this level the limit rises by two, as each step takes time."""

GOOD_BEFORE_RETRY = 50
"""Good responses before a level that failed is tried again."""

REMEMBERED = 16
"""The number of recent good responses that others are compared with."""

GAIN_WANTED = 0.5
GAIN_NEEDED = 0.25
"""Shares of the ideal gain in throughput: the first is enough to rise at once, the second after
more responses."""

CLEAR_LOSS = 0.85
SLOW_PROBE = 1.5
PROBE_WAIT = 2.2
"""A multiple of the longest known latency, after which a request above the ceiling has ended."""

FIRST_LOOK = 4
LONG_LOOK = 3
"""Responses after which a doubtful level is decided, in multiples of the level."""

DRIFT_SEEN_IN = 8
DRIFT = 1.5
"""A good level is lowered when its responses take this many times as long."""


class RequestOutcome(Enum):
    """How a request ended; SLOW_DOWN is a 429."""

    OK = auto()
    SLOW_DOWN = auto()
    OTHER = auto()


class AdaptiveConcurrency:
    """Rises while throughput rises, and stays below the level that last failed.

    By Little's law the throughput of a level is the level divided by its mean latency, which a few
    responses suffice to estimate. Latencies are compared in relation to the seconds of audio. To
    try a failed level again, a single request is sent above the ceiling, so that the others are not
    slowed down.

    Attributes:
        limit: requests that may be in flight, 1 to the maximum.
        ceiling: the level that last failed; None: none has.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self.limit = min(START, maximum)
        self.ceiling: int | None = None
        self._since = self._cut_at = float("-inf")
        self._samples: list[LatencySample] = []
        self._known: deque[LatencySample] = deque(maxlen=REMEMBERED)
        self._on_trial = False
        self._rose_from = 1
        self._good = GOOD_BEFORE_RETRY
        self._probe_from: float | None = None
        self._probe_to: float | None = None

    def expect(self, chunks: int) -> None:
        """Begin higher for so many chunks, if they are many and nothing was sent before them."""
        has_begun = self._samples or self._known or self.ceiling is not None
        if chunks >= LARGE_BATCH and not has_begun:
            self.limit = min(LARGE_START, self._maximum)

    def observe(
        self, now: float, latency_s: float, audio_s: float, outcome: RequestOutcome, in_flight: int
    ) -> str | None:
        """Take one response into account; returns the reason if that changes the limit.

        Args:
            now: seconds of a monotonic clock.
            latency_s: from the start of the request to the end of its response.
            audio_s: seconds of audio in the request.
            outcome: only OK and SLOW_DOWN count.
            in_flight: number of requests in flight, including this one.
        """
        old, reason = self.limit, ""
        began = now - latency_s
        if outcome is RequestOutcome.SLOW_DOWN:
            reason = self._after_slow_down(now, began, in_flight)
        elif outcome is RequestOutcome.OK:
            self._good += 1
            sample = LatencySample(latency_s, audio_s)
            if self._probe_from is not None:
                reason = self._evaluate_probe(now, began, sample, in_flight)
            else:
                # Requests sent below or before this level say nothing about it.
                if began >= self._since and in_flight >= self.limit:
                    self._samples.append(sample)
                reason = self._evaluate(now)
        return reason if self.limit != old else None

    def _after_slow_down(self, now: float, began: float, in_flight: int) -> str:
        if began < self._cut_at:
            # It was sent before another 429 lowered the limit.
            return ""
        level = max(1, min(self.limit, in_flight))
        if self._probe_from is not None and self.ceiling is not None:
            level = self.ceiling
        elif self._good < self.limit:
            self._step_to(max(1, self.limit // 2), now, ceiling=level)
            return f"429 again with {level} in flight"
        self._step_to(max(1, level - 1), now, ceiling=level)
        return f"429 with {level} in flight"

    def _evaluate(self, now: float) -> str:
        level, count = self.limit, len(self._samples)
        if not self._on_trial:
            return self._at_good_level(now)
        slower = slowdown(self._samples, self._known)
        if slower is None:
            return ""
        step = level / self._rose_from - 1
        gain = (1 + step) / slower
        is_long = count >= LONG_LOOK * level
        enough = count > level // 2
        wanted = GAIN_NEEDED if is_long else GAIN_WANTED
        if enough and gain >= 1 + wanted * step:
            self._known.extend(self._samples)
            self._samples.clear()
            self._on_trial = False
            return self._rise(now, f"{gain:.2f} times the throughput with {level} in flight")
        if is_long or (enough and count > 2 and gain < CLEAR_LOSS):
            self._step_to(level - 1, now, ceiling=level)
            return f"answers take {slower:.2f} times as long with {level} in flight"
        return ""

    def _at_good_level(self, now: float) -> str:
        """At a good level: rise, try again above the ceiling, or stay."""
        level, count = self.limit, len(self._samples)
        if self._good >= GOOD_BEFORE_RETRY and self.ceiling == level + 1 and self._known:
            if self.ceiling > self._maximum:
                return ""
            self._probe_from, self._probe_to = now, None
            self._samples = []
            self.limit = self.ceiling
            return f"one request above the ceiling, after {self._good} good answers"
        if count <= level // 2 or count + len(self._known) < FIRST_LOOK:
            return ""
        if level < (self.ceiling or self._maximum + 1) - 1:
            self._known.extend(self._samples)
            return self._rise(now, "more may be possible")
        return self._check_drift(now) if count >= max(level, DRIFT_SEEN_IN) else ""

    def _check_drift(self, now: float) -> str:
        level = self.limit
        slower = slowdown(self._samples, self._known) or 1.0
        recent, self._samples = self._samples, []
        if slower <= DRIFT or level == 1:
            self._known.extend(recent)
            return ""
        # The next trial of the level shows whether it is the cause.
        self._known = deque(recent, maxlen=REMEMBERED)
        self._step_to(level - 1, now, ceiling=level)
        return f"answers now take {slower:.2f} times as long"

    def _rise(self, now: float, reason: str) -> str:
        highest = self._maximum if self.ceiling is None else self.ceiling - 1
        if self.limit < highest:
            step = 2 if self.limit < TWO_AT_A_TIME else 1
            self._try_level(min(highest, self.limit + step), now)
        return reason

    def _try_level(self, level: int, now: float) -> None:
        self._rose_from, self.limit = self.limit, level
        self._begin(now)
        self._on_trial = True

    def _evaluate_probe(
        self, now: float, began: float, sample: LatencySample, in_flight: int
    ) -> str:
        """Handle a response while a request above the ceiling is in flight, or about to be sent."""
        assert self._probe_from is not None
        assert self.ceiling is not None
        if self._probe_to is None:
            if in_flight < self.ceiling:
                return ""
            # The probe is in flight, so the limit falls back.
            self._probe_to = now
            self.limit = self.ceiling - 1
            return "waiting for that one request"
        if self._probe_from <= began <= self._probe_to:
            self._samples.append(sample)
            if (slowdown([sample], self._known) or 1.0) > SLOW_PROBE:
                self._step_to(self.limit, now, ceiling=self.ceiling)
                return ""
        longest_s = max((sample.latency_s for sample in self._known), default=0.0)
        if now < self._probe_to + PROBE_WAIT * longest_s:
            return ""
        if not self._samples:
            # The rate limit delayed the probe, so it has no result.
            self._step_to(self.limit, now, ceiling=self.ceiling)
            return ""
        level = self.ceiling
        self._probe_from = self._probe_to = self.ceiling = None
        self._try_level(level, now)
        return f"a request with {level} in flight went well"

    def _step_to(self, level: int, now: float, *, ceiling: int) -> None:
        self.limit = level
        self.ceiling = max(ceiling, level + 1)
        self._cut_at = now
        self._good = 0
        self._on_trial = False
        self._probe_from = self._probe_to = None
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._since = now
        self._samples = []


def expecting(
    lanes: PrioritySemaphore, adaptive: AdaptiveConcurrency | None, emit: events.Emit
) -> events.Emit:
    """`emit`, which also has the number of lanes begin as the plan of a batch allows."""
    if adaptive is None:
        return emit

    def emit_and_expect(event: events.Event) -> None:
        if isinstance(event, events.BatchPlanned):
            adaptive.expect(event.chunks)
            lanes.limit = adaptive.limit
        emit(event)

    return emit_and_expect


def concurrency_feedback(
    lanes: PrioritySemaphore, adaptive: AdaptiveConcurrency | None, emit: events.Emit
) -> Callable[[APIRequest], None]:
    """A function to call with each request while it has its lane; it adapts the number of lanes.

    `adaptive` None: the number of lanes does not change.
    """
    if adaptive is None:
        return lambda request: None
    lanes.limit = adaptive.limit

    def observe(request: APIRequest) -> None:
        outcome = RequestOutcome.OK if request.paid else RequestOutcome.OTHER
        if request.throttled:
            outcome = RequestOutcome.SLOW_DOWN
        old, now = adaptive.limit, time.monotonic()
        reason = adaptive.observe(now, request.latency_s, request.audio_s, outcome, lanes.in_use)
        if reason is not None:
            lanes.limit = adaptive.limit
            emit(events.ConcurrencyChanged("", old, lanes.limit, reason))

    return observe

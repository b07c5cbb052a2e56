"""`-j auto`: how many requests may be in flight, found out from how they are answered."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from sttbatch.processing.scheduling.latency_slowdown import Sample, slowdown

START = 2
TWO_AT_A_TIME = 4
"""Below this level one request more is a small part, and time is lost with every step."""

GOOD_BEFORE_RETRY = 50
"""Good answers before a level that went wrong is tried again."""

REMEMBERED = 16
"""Recent good answers that others are compared with."""

GAIN_WANTED = 0.5
GAIN_NEEDED = 0.25
"""Shares of the throughput that one more request in flight should add: more than the first is
enough to rise at once, less than the second, after a longer look, is no gain."""

CLEAR_LOSS = 0.85
SLOW_PROBE = 1.5
PROBE_WAIT = 2.2
"""Times the longest latency known: whatever took that long above the ceiling is back by then."""

FIRST_LOOK = 4
LONG_LOOK = 3
"""Answers of a level before a doubtful one is decided, in multiples of the level."""

DRIFT_SEEN_IN = 8
DRIFT = 1.5
"""A level that has been good is left once its answers take this many times as long."""


class Outcome(Enum):
    """How a request ended; SLOW_DOWN is a 429."""

    OK = auto()
    SLOW_DOWN = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Change:
    """What an answer has changed, and why."""

    old: int
    new: int
    reason: str


class AdaptiveConcurrency:
    """Rises while throughput rises, and stays below the level where it last went wrong.

    By Little's law the throughput of a level is the level over its mean latency, which is told
    from few answers. Latencies are compared by the seconds of audio they were for. To try a level
    that went wrong, one single request is sent above the ceiling: the others are not slowed down.

    Attributes:
        limit: requests that may be in flight, 1 to the maximum.
        ceiling: the level where it last went wrong; None: no such level is known.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self.limit = min(START, maximum)
        self.ceiling: int | None = None
        self._since = self._cut_at = float("-inf")
        self._samples: list[Sample] = []
        self._known: deque[Sample] = deque(maxlen=REMEMBERED)
        self._on_trial = False
        self._rose_from = 1
        self._good = GOOD_BEFORE_RETRY
        self._probe_from: float | None = None
        self._probe_to: float | None = None

    def observe(
        self, now: float, latency_s: float, audio_s: float, outcome: Outcome, in_flight: int
    ) -> Change | None:
        """Take one answer into account.

        Args:
            now: seconds of any clock that does not jump.
            latency_s: from the begin of the request to its answer.
            audio_s: what the request was for.
            outcome: only good answers and 429s count.
            in_flight: requests that were in flight, this one included.
        """
        old, reason = self.limit, ""
        began = now - latency_s
        if outcome is Outcome.SLOW_DOWN:
            reason = self._slowed_down(now, began, in_flight)
        elif outcome is Outcome.OK:
            self._good += 1
            sample = Sample(latency_s, audio_s)
            if self._probe_from is not None:
                reason = self._probed(now, began, sample, in_flight)
            else:
                # Below the level, or begun before it, it tells nothing of this level.
                if began >= self._since and in_flight >= self.limit:
                    self._samples.append(sample)
                reason = self._judged(now)
        return Change(old, self.limit, reason) if self.limit != old else None

    def _slowed_down(self, now: float, began: float, in_flight: int) -> str:
        if began < self._cut_at:
            # Sent before the limit was lowered for another one.
            return ""
        level = max(1, min(self.limit, in_flight))
        if self._probe_from is not None and self.ceiling is not None:
            level = self.ceiling
        elif self._good < self.limit:
            self._step_to(max(1, self.limit // 2), now, ceiling=level)
            return f"429 again with {level} in flight"
        self._step_to(max(1, level - 1), now, ceiling=level)
        return f"429 with {level} in flight"

    def _judged(self, now: float) -> str:
        level, count = self.limit, len(self._samples)
        if not self._on_trial:
            return self._settled(now)
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

    def _settled(self, now: float) -> str:
        """At a level that is known to be good: rise, try again above the ceiling, or stay."""
        level, count = self.limit, len(self._samples)
        if self._good >= GOOD_BEFORE_RETRY and self.ceiling == level + 1 and self._known:
            return self._probe(now, self.ceiling)
        if count <= level // 2 or count + len(self._known) < FIRST_LOOK:
            return ""
        if level < (self.ceiling or self._maximum + 1) - 1:
            self._known.extend(self._samples)
            return self._rise(now, "more may be possible")
        return self._drifted(now) if count >= max(level, DRIFT_SEEN_IN) else ""

    def _probe(self, now: float, ceiling: int) -> str:
        if ceiling > self._maximum:
            return ""
        self._probe_from, self._probe_to = now, None
        self._samples = []
        self.limit = ceiling
        return f"one request above the ceiling, after {self._good} good answers"

    def _drifted(self, now: float) -> str:
        level = self.limit
        slower = slowdown(self._samples, self._known) or 1.0
        recent, self._samples = self._samples, []
        if slower > DRIFT and level > 1:
            # Whether it is for the level that they are slow, its next trial will show.
            self._known.clear()
            self._step_to(level - 1, now, ceiling=level)
            self._known.extend(recent)
            return f"answers have come to take {slower:.2f} times as long"
        self._known.extend(recent)
        return ""

    def _rise(self, now: float, reason: str) -> str:
        highest = self._maximum if self.ceiling is None else self.ceiling - 1
        if self.limit < highest:
            self._rose_from = self.limit
            self.limit = min(highest, self.limit + (2 if self.limit < TWO_AT_A_TIME else 1))
            self._begin(now)
            self._on_trial = True
        return reason

    def _probed(self, now: float, began: float, sample: Sample, in_flight: int) -> str:
        """While one request above the ceiling is under way, or about to be."""
        assert self._probe_from is not None
        assert self.ceiling is not None
        if self._probe_to is None:
            if in_flight < self.ceiling:
                return ""
            # It is on its way; whoever ends now is not replaced.
            self._probe_to = now
            self.limit = self.ceiling - 1
            return "waiting for that one request"
        if self._probe_from <= began <= self._probe_to:
            self._samples.append(sample)
            if (slowdown([sample], self._known) or 1.0) > SLOW_PROBE:
                self._step_to(self.limit, now, ceiling=self.ceiling)
                return ""
        longest_s = max((each.latency_s for each in self._known), default=0.0)
        if now < self._probe_to + PROBE_WAIT * longest_s:
            return ""
        if not self._samples:
            # The rate limit held it back, so nothing is known.
            self._step_to(self.limit, now, ceiling=self.ceiling)
            return ""
        level = self.ceiling
        self._probe_from = self._probe_to = None
        self.ceiling = None
        self._rose_from, self.limit = level - 1, level
        self._begin(now)
        self._on_trial = True
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

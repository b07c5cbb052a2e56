"""Names of metrics (with their units), and figures as the stores return them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from sttbatch.core.jobs import TRANSCRIPTION

OK = "ok"
"""The label of a request that brought its answer; others are labelled with what went wrong."""

MISS = "miss"

GAP_ENDS = ("filled", "no_speech", "refused", "still_missing")
"""Outcomes of gap repair: of sound that came back without words."""

SUSPECT_SEGMENTS = ("loops", "unfounded")
"""Suspect segments: those that repeat one phrase, and those with words over silence."""

Measurement: TypeAlias = tuple[str, float, int, float, str, str]
"""(metric, seconds since the epoch, number, value, label, subject)."""


class Metric(StrEnum):
    """Samples have a row per event, counters one per second in which something was counted.

    `REQUEST_SECONDS` is labelled `ok` or with the cause of the failure, and its subject is the
    chunk: `3#0` is the first one of the run's third recording. Other measurements of that request
    have the same run and number.
    """

    REQUEST_SECONDS = "request_seconds"
    QUEUE_WAIT_SECONDS = "queue_wait_seconds"
    RATE_WAIT_SECONDS = "rate_wait_seconds"
    REQUEST_AUDIO_SECONDS = "request_audio_seconds"
    UPLOAD_BYTES = "upload_bytes"
    PREPARATION_SECONDS = "preparation_seconds"
    LANES = "lanes"
    # Counters.
    RETRIES = "retries"  # by the cause of the failure before
    CACHE_LOOKUPS = "cache_lookups"  # by level, or `miss`
    RECORDINGS = "recordings"  # by outcome: transcribed, cached, unchanged, failed
    AUDIO_SECONDS = "audio_seconds"  # of recordings that are done: transcribed, cached
    SAVED_SECONDS = "saved_seconds"  # of audio that was not sent, thanks to the cache
    SAVED_COST = "saved_cost"  # what sending it would have cost that run
    CONNECTIONS = "connections"  # opened, reused, replaced
    AUDIT_GAPS = "audit_gaps"  # sound without words: filled, no_speech, refused, still_missing
    AUDIT_SEGMENTS = "audit_segments"  # suspect ones: loops, unfounded (nobody spoke them)
    AUDIT_ASKED_SECONDS = "audit_asked_seconds"  # of audio that was sent again


WAIT_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
BOUNDS: Mapping[str, Sequence[float]] = dict.fromkeys(
    (Metric.QUEUE_WAIT_SECONDS, Metric.RATE_WAIT_SECONDS, Metric.PREPARATION_SECONDS),
    WAIT_BOUNDS_S,
)
"""Upper bounds of histogram buckets in seconds; other metrics are only counted and summed.

They must never change: expired measurements are stored in these buckets alone.
"""

DURATION_BOUNDS_S = (
    0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600,
)  # fmt: skip
"""Upper bounds of the buckets of response times. Prometheus takes other ones for a restart."""

RUNS_BEGUN = "runs_begun"
RUNS_ENDED = "runs_ended"
RUN_OUTCOMES = ("succeeded", "some_failed", "stopped")

# The ledger keeps the first three for ever; a total of LANES means nothing.
_WITHOUT_TOTAL = frozenset(
    {Metric.REQUEST_SECONDS, Metric.REQUEST_AUDIO_SECONDS, Metric.UPLOAD_BYTES, Metric.LANES}
)
LIFETIME_METRICS = tuple(metric for metric in Metric if metric not in _WITHOUT_TOTAL)
"""Metrics whose totals since the first run are kept when their measurements expire."""


class Window(NamedTuple):
    """From `since` to before `until`, seconds since the epoch."""

    since: float
    until: float


class RunFacts(Struct, frozen=True):
    """One run when it begins, in seconds since the epoch; `rate_limit` is requests a minute."""

    begun_at: float
    engine: str
    model: str
    lanes: int
    rate_limit: int | None
    price_per_second: float  # counts what is saved, and is not stored


class RunEnd(Struct, frozen=True):
    """How a run ended; `cached` recordings are among those `done`."""

    done: int
    cached: int
    failed: int
    remaining: int
    error: str | None = None


class RequestFigures(Struct, frozen=True):
    """Requests of a group, as the ledger counts them.

    Attributes:
        retried: requests that were not a chunk's first.
        maybe_paid: failed requests that were possibly billed.
        paid_s: seconds of audio that were billed or possibly billed.
        prompt_tokens, generated_tokens: read and written by language models in their answers.
    """

    total: int = 0
    ok: int = 0
    retried: int = 0
    failed: int = 0
    maybe_paid: int = 0
    cost: float = 0.0
    sent_bytes: int = 0
    paid_s: float = 0.0
    prompt_tokens: int = 0
    generated_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.generated_tokens


class RequestTotal(Struct, frozen=True):
    """All requests ever sent to one engine and model that ended with the same status and error.

    `error` is the start of the error's text; micros are millionths. `sent_micros` counts seconds of
    audio sent, `paid_micros` those that were billed or possibly billed.
    """

    engine: str
    model: str
    status: int | None
    error: str | None
    count: int
    maybe_paid: int
    cost_micros: int
    sent_bytes: int
    sent_micros: int
    paid_micros: int


class KindTotal(Struct, frozen=True):
    """All requests ever answered of one kind by one model; micros are millionths."""

    kind: str
    model: str
    count: int
    cost_micros: int
    prompt_tokens: int
    generated_tokens: int


class Bucket(Struct, frozen=True):
    """Count and sum of the values above the previous bound, up to this one."""

    bound: float
    count: int
    total: float


class RecordingOutcome(Struct, frozen=True):
    """How a recording's job ended, `at` seconds since the epoch.

    `tokens` is what a job of a language model was expected to consume.
    """

    name: str
    audio_s: float
    took_s: float | None
    failure: str | None
    at: float
    kind: str = TRANSCRIPTION
    tokens: int = 0


class RunCounts(Struct, frozen=True):
    """How many runs began; `unfinished` are running or killed, `stopped` ended with an error."""

    total: int
    unfinished: int
    stopped: int


class BusyRun(Struct, frozen=True):
    """When a run's first request began and its last ended; `in_flight_s` sums their latencies."""

    first: float
    last: float
    in_flight_s: float
    lanes: int
    rate_limit: int | None


class MeasuredRequest(Struct, frozen=True):
    """One request of a run, which waited for a lane, then for the rate limit, then was sent.

    Attributes:
        ended_at: seconds since the epoch; other times are durations in seconds.
        outcome: `ok` or the cause of the failure.
        chunk: `3#0` is the first one of the run's third recording.
    """

    ended_at: float
    latency_s: float
    outcome: str
    chunk: str
    rate_wait_s: float
    queue_wait_s: float

    @property
    def sent_at(self) -> float:
        return self.ended_at - self.latency_s

    @property
    def in_lane_at(self) -> float:
        return self.sent_at - self.rate_wait_s

    @property
    def queued_at(self) -> float:
        return self.in_lane_at - self.queue_wait_s

    @property
    def is_ok(self) -> bool:
        return self.outcome == OK

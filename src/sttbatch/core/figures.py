"""Figures as the stores return them, before anything is computed from them."""

from __future__ import annotations

from dataclasses import dataclass

from sttbatch.core.metrics import OK


@dataclass(frozen=True, slots=True)
class RequestFigures:
    """Requests of a group, out of the ledger.

    Attributes:
        retried: those that were not a chunk's first.
        failed: those that brought no answer.
        maybe_paid: failed ones that were possibly billed.
        paid_s: seconds of audio that were billed, or possibly were.
    """

    total: int = 0
    ok: int = 0
    retried: int = 0
    failed: int = 0
    maybe_paid: int = 0
    cost: float = 0.0
    sent_bytes: int = 0
    paid_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RequestTotal:
    """All requests ever sent to one engine and model that ended with the same status and error.

    `error` is how the error's text begins; micros are millionths, of seconds of audio that were
    sent, and of those that were billed or possibly were.
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


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many values lay above the bound before and up to this one, and their sum."""

    bound: float
    count: int
    total: float


@dataclass(frozen=True, slots=True)
class RecordingOutcome:
    """How a recording's job ended, `at` seconds since the epoch."""

    name: str
    audio_s: float
    took_s: float | None
    failure: str | None
    at: float


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many runs began; `unfinished` go on or were killed, `stopped` ended with an error."""

    total: int
    unfinished: int
    stopped: int


@dataclass(frozen=True, slots=True)
class BusyRun:
    """When one run sent requests: from the `first` to the last answer, `in_flight_s` summed up."""

    first: float
    last: float
    in_flight_s: float
    lanes: int
    rate_limit: int | None


@dataclass(frozen=True, slots=True)
class MeasuredRequest:
    """One request of a run; it was cut, waited for a lane, then for the rate limit, then was sent.

    Attributes:
        ended_at: seconds since the epoch; the others are lengths in seconds.
        outcome: `ok` or what went wrong.
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

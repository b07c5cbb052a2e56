"""What is measured, by name; names carry units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from sttbatch.database.session import Session

OK = "ok"
"""The label of a request that brought its answer; others are labelled with what went wrong."""

MISS = "miss"

GAP_ENDS = ("filled", "no_speech", "refused", "still_missing")
"""What becomes of sound without words."""

DOUBTED = ("loops", "unfounded")
"""Segments that repeat one phrase, and those with words over silence."""

Measurement: TypeAlias = tuple[str, float, int, float, str, str]
"""(metric, seconds since the epoch, number, value, label, subject)."""


class Metric(StrEnum):
    """Samples have a row for each event; counters have one for what came together in a second.

    `REQUEST_SECONDS` is labelled `ok` or with the cause of its failure, and its subject is the
    chunk: `3#0` is the first one of the run's third recording. What else was
    measured of that request has the same run and number.
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
    AUDIT_SEGMENTS = "audit_segments"  # doubted ones: loops, unfounded (words over silence)
    AUDIT_ASKED_SECONDS = "audit_asked_seconds"  # of audio that was asked for again


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run as it begins; times are seconds since the epoch.

    Attributes:
        rate_limit: requests a minute; None: no limit.
        summary: what it was asked to do.
    """

    begun_at: float
    engine: str
    model: str
    lanes: int
    rate_limit: int | None
    price_per_second: float
    summary: str


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How it ended; `cached` recordings are among those `done`."""

    done: int
    cached: int
    failed: int
    remaining: int
    error: str | None = None


def insert_run(db: Session, facts: RunFacts) -> int:
    """The run's id."""
    (run,) = db.execute(
        "INSERT INTO runs (begun_at, engine, model, lanes, rate_limit, price_per_second, summary) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (
            facts.begun_at,
            facts.engine,
            facts.model,
            facts.lanes,
            facts.rate_limit,
            facts.price_per_second,
            facts.summary,
        ),
    ).fetchone()
    return int(run)


def insert_end(db: Session, run: int, at: float, end: RunEnd) -> None:
    db.execute(
        "INSERT INTO run_ends (run, ended_at, done, cached, failed, remaining, error) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (run, at, end.done, end.cached, end.failed, end.remaining, end.error),
    )


def insert_measurements(db: Session, run: int, measurements: Iterable[Measurement]) -> None:
    db.executemany(
        "INSERT INTO measurements (metric, at, number, value, label, subject, run) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((*each, run) for each in measurements),
    )

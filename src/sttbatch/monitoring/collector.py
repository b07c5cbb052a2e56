"""MetricsCollector: records measurements of the events of a run, about once a second."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sttbatch.core import events
from sttbatch.core.errors import StateError
from sttbatch.core.metrics import (
    GAP_ENDS,
    MISS,
    OK,
    SUSPECT_SEGMENTS,
    Measurement,
    Metric,
    RunEnd,
    RunFacts,
)
from sttbatch.core.ports import MetricsStore

FLUSH_EVERY_S = 1.0
RETRY_AFTER_S = 60.0
"""Seconds until the next write after a failed one; measurements are collected meanwhile."""

_CAUSE_CHARS = 40


class MetricsCollector:
    """A listener of one run, on its event loop.

    Measurements that cannot be written are dropped, with one warning until a write succeeds;
    metrics never fail a run.
    """

    def __init__(
        self,
        store: MetricsStore,
        facts: RunFacts,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self._facts = facts
        self._warn = warn
        self._clock = clock
        self._run: int | None = None
        self._begin_lock = asyncio.Lock()
        self._failing = False
        self._numbers = itertools.count(1)
        self._samples: list[Measurement] = []
        self._counters: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._queue_waits: dict[tuple[str, int, str | None], float] = {}
        self._causes: dict[tuple[str, int, str | None], str] = {}
        self._ordinals: dict[str, int] = {}
        self._recordings = itertools.count(1)
        self._cached_s: defaultdict[str, float] = defaultdict(float)
        self._waiting: asyncio.Task[None] | None = None
        # The event loop has only weak references to tasks.
        self._writing: set[asyncio.Task[None]] = set()
        self._handlers: dict[type[events.Event], Callable[[Any], None]] = {
            events.ChunkPrepared: lambda event: self._sample(
                Metric.PREPARATION_SECONDS, event.preparation_s
            ),
            events.ChunkProcessingStarted: lambda event: self._queue_waits.update(
                {(event.recording, event.index, event.piece): event.queue_wait_s}
            ),
            events.ChunkProcessingCompleted: self._chunk_completed,
            events.ChunkAudited: self._audited,
            events.CacheLookup: lambda event: self._add(
                Metric.CACHE_LOOKUPS, event.level or MISS, event.count
            ),
            events.APIRequestCompleted: self._requested,
            events.JobCompleted: self._job_completed,
            events.JobFailed: self._job_failed,
            events.JobSkipped: self._job_skipped,
            events.ConcurrencyChanged: lambda event: self._sample(Metric.LANES, event.new),
            events.ConnectionsClosed: lambda event: self._add_all(
                Metric.CONNECTIONS, event, ("opened", "reused", "replaced")
            ),
        }

    def __call__(self, event: events.Event) -> None:
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)
            if self._waiting is None:
                self._waiting = asyncio.create_task(self._write_later())
                self._writing.add(self._waiting)
                self._waiting.add_done_callback(self._writing.discard)

    def count_unchanged(self, recordings: int) -> None:
        """Count recordings that were up to date, each with a lookup in the ledger.

        They do not count as saved, since cron would save the same cost again each hour.
        """
        self._add(Metric.CACHE_LOOKUPS, "L3", recordings)
        self._add(Metric.RECORDINGS, "unchanged", recordings)

    async def aclose(self, end: RunEnd) -> None:
        """Write the remaining measurements and the end of the run, and expire old ones."""
        if self._waiting is not None:
            self._waiting.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)
        await self._write(end)

    async def _write_later(self) -> None:
        await asyncio.sleep(RETRY_AFTER_S if self._failing else FLUSH_EVERY_S)
        # Events during the write start the next timer.
        self._waiting = None
        await self._write()

    async def _write(self, end: RunEnd | None = None) -> None:
        now = self._clock()
        samples, self._samples = self._samples, []
        samples += [
            (metric, now, next(self._numbers), value, label, "")
            for (metric, label), value in self._counters.items()
        ]
        self._counters.clear()
        try:
            async with self._begin_lock:
                if self._run is None:
                    self._run = await self.store.begin(self._facts)
            writes: list[Awaitable[None]] = [self.store.record(self._run, samples)]
            if end is not None:
                writes += self.store.end(self._run, now, end), self.store.expire()
            # At once, so that they wait for the disk together.
            await asyncio.gather(*writes)
        except StateError as error:
            if not self._failing:
                self._warn(f"not all metrics of this run are kept: {error}")
            self._failing = True
        else:
            self._failing = False

    def _sample(self, metric: Metric, value: float) -> None:
        self._samples.append((metric, self._clock(), next(self._numbers), value, "", ""))

    def _chunk_completed(self, event: events.ChunkProcessingCompleted) -> None:
        self._causes.pop((event.recording, event.index, event.piece), None)
        # A piece's audio is counted with its chunk.
        if event.cached and event.piece is None:
            self._cached_s[event.recording] += event.audio_s

    def _audited(self, event: events.ChunkAudited) -> None:
        self._add_all(Metric.AUDIT_GAPS, event, GAP_ENDS)
        self._add_all(Metric.AUDIT_SEGMENTS, event, SUSPECT_SEGMENTS)
        self._add(Metric.AUDIT_ASKED_SECONDS, "", event.asked_s)

    def _requested(self, event: events.APIRequestCompleted) -> None:
        at, number = self._clock(), next(self._numbers)
        chunk = (event.recording, event.index, event.piece)
        label = cause_of(event.status, event.error)
        if event.attempt > 1:
            self._counters[Metric.RETRIES, self._causes.pop(chunk, "unknown")] += 1
        if label != OK:
            self._causes[chunk] = label
        ordinal = self._ordinals.get(event.recording)
        if ordinal is None:
            ordinal = self._ordinals[event.recording] = next(self._recordings)
        subject = f"{ordinal}#{event.index}" + (f".{event.piece}" if event.piece else "")
        self._samples += (
            (Metric.REQUEST_SECONDS, at, number, event.latency_s, label, subject),
            (Metric.RATE_WAIT_SECONDS, at, number, event.rate_wait_s, "", ""),
            (Metric.REQUEST_AUDIO_SECONDS, at, number, event.audio_s, label, ""),
            (Metric.UPLOAD_BYTES, at, number, event.sent_bytes, "", ""),
        )
        queue_wait_s = self._queue_waits.pop(chunk, None)
        if queue_wait_s is not None:
            self._samples.append((Metric.QUEUE_WAIT_SECONDS, at, number, queue_wait_s, "", ""))

    def _job_completed(self, event: events.JobCompleted) -> None:
        cached_s = self._forget(event)
        if event.how != events.TRANSCRIBED:
            # What language models did is counted by their requests alone.
            return
        label = "cached" if event.cached else "transcribed"
        self._add(Metric.RECORDINGS, label, 1)
        self._add(Metric.AUDIO_SECONDS, label, event.audio_s)
        self._saved(event.audio_s if event.cached else cached_s)

    def _job_failed(self, event: events.JobFailed) -> None:
        self._add(Metric.RECORDINGS, "failed", 1)
        self._saved(self._forget(event))

    def _job_skipped(self, event: events.JobSkipped) -> None:
        self._forget(event)

    def _forget(self, event: events.Event) -> float:
        """Drop what is kept of a recording that ended; returns the seconds that were cached."""
        self._ordinals.pop(event.recording, None)
        return self._cached_s.pop(event.recording, 0.0)

    def _saved(self, audio_s: float) -> None:
        self._add(Metric.SAVED_SECONDS, "", audio_s)
        self._add(Metric.SAVED_COST, "", audio_s * self._facts.price_per_second)

    def _add(self, metric: Metric, label: str, value: float) -> None:
        if value:
            self._counters[metric, label] += value

    def _add_all(self, metric: Metric, event: events.Event, labels: Sequence[str]) -> None:
        """Add the fields of an event with the names of the labels."""
        for label in labels:
            self._add(metric, label, getattr(event, label))


def cause_of(status: int | None, error: str | None) -> str:
    """The cause of a failure as a metric label: HTTP status or kind of fault; `ok`: no failure."""
    if error is None:
        return OK
    if status == 200:
        return "unreadable answer"
    if status is not None:
        return str(status)
    return re.split("[:,]", error, maxsplit=1)[0][:_CAUSE_CHARS]

"""The metrics and alerts of a run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import data_folder
from sttbatch.core.errors import StateError
from sttbatch.core.events import TRANSCRIBED, Emit, Event, JobCompleted, JobFailed
from sttbatch.core.metrics import RunEnd, RunFacts
from sttbatch.core.ports import MetricsStore
from sttbatch.database.database import Database
from sttbatch.database.measurements import Measurements
from sttbatch.database.opening import open_metrics
from sttbatch.kinds.report import BatchReport, Outcome
from sttbatch.monitoring.collector import MetricsCollector

if TYPE_CHECKING:
    from sttbatch.monitoring.alerts import AlertRule

DAY_S = 86_400.0


@contextlib.asynccontextmanager
async def measured(
    settings: Settings, end: Callable[[], RunEnd], warn: Callable[[str], None]
) -> AsyncIterator[MetricsCollector | None]:
    """The collector of one run; None: its store cannot be used. `end` says how the run ended."""
    config = run_config_of(settings)
    facts = RunFacts(
        time.time(),
        config.request.engine,
        config.request.model,
        config.concurrency.value,
        config.run.requests_per_minute,
        config.run.price_per_second,
    )
    try:
        database = open_metrics(data_folder(settings), settings.database_url)
    except StateError as error:
        warn(f"no metrics of this run are kept: {error}")
        yield None
        return
    with contextlib.closing(database):
        collector = MetricsCollector(Measurements(database), facts, warn)
        try:
            yield collector
        finally:
            await collector.aclose(end())


def end_of(report: BatchReport) -> RunEnd:
    """How a run ended."""
    done, failed = report.count(Outcome.DONE), report.count(Outcome.FAILED)
    remaining = len(report.recordings) - done - failed
    fatal = str(report.fatal) if report.fatal is not None else None
    return RunEnd(done, report.from_cache, failed, remaining, fatal)


class DailyMetrics:
    """A listener for a process that lives on: each day of it is measured as one run."""

    def __init__(self, settings: Settings, warn: Callable[[str], None]) -> None:
        self._settings = settings
        self._warn = warn
        self._collector: MetricsCollector | None = None
        self._ended: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        match event:
            case JobCompleted():
                self._ended["done"] += event.how == TRANSCRIBED
                self._ended["cached"] += event.cached and event.how == TRANSCRIBED
            case JobFailed():
                self._ended["failed"] += 1
        if self._collector is not None:
            self._collector(event)

    @property
    def store(self) -> MetricsStore | None:
        """The store of measurements while it is open."""
        return None if self._collector is None else self._collector.store

    @contextlib.asynccontextmanager
    async def measuring(self) -> AsyncIterator[None]:
        begun = asyncio.Event()
        days = asyncio.create_task(self._measure_days(begun))
        beginning = asyncio.create_task(begun.wait())
        try:
            await asyncio.wait([days, beginning], return_when=asyncio.FIRST_COMPLETED)
            yield
        finally:
            beginning.cancel()
            days.cancel()
            await asyncio.gather(days, beginning, return_exceptions=True)

    async def _measure_days(self, begun: asyncio.Event) -> None:
        while True:
            self._ended.clear()
            async with measured(self._settings, self._end, self._warn) as collector:
                self._collector = collector
                begun.set()
                try:
                    await asyncio.sleep(DAY_S)
                finally:
                    self._collector = None

    def _end(self) -> RunEnd:
        ended = self._ended
        return RunEnd(ended["done"], ended["cached"], ended["failed"], 0, None)


@contextlib.asynccontextmanager
async def watching(
    rules: Sequence[AlertRule], database: Database, emit: Emit
) -> AsyncIterator[None]:
    """Evaluate the rules every minute, and at the end."""
    if not rules:
        yield
        return
    from sttbatch.database.alerts import Alerts
    from sttbatch.monitoring.alerts import AlertEvaluator, watched

    async with watched(AlertEvaluator(rules, Alerts(database), deliver, emit), emit):
        yield


async def deliver(url: str, payload: Mapping[str, Any]) -> None:
    """Post to a webhook; raises NotificationError if it is not accepted."""
    # Importing httpx is slow, and most runs have no alert to deliver.
    from sttbatch.external.notifications import post_webhook

    await post_webhook(url, payload)

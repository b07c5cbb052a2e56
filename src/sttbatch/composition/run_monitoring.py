"""The metrics and alerts of a run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import data_folder
from sttbatch.core.errors import StateError
from sttbatch.core.events import Emit
from sttbatch.core.metrics import RunEnd, RunFacts
from sttbatch.database.database import Database
from sttbatch.database.measurements import Measurements
from sttbatch.database.opening import open_metrics
from sttbatch.kinds.transcription.report import BatchReport, Outcome
from sttbatch.monitoring.collector import MetricsCollector

if TYPE_CHECKING:
    from sttbatch.monitoring.alerts import AlertRule


@contextlib.asynccontextmanager
async def measured(
    settings: Settings, report: BatchReport, warn: Callable[[str], None]
) -> AsyncIterator[MetricsCollector | None]:
    """The collector of one run; None: metrics.db cannot be used, which does not fail the run."""
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
            done, failed = report.count(Outcome.DONE), report.count(Outcome.FAILED)
            remaining = len(report.recordings) - done - failed
            fatal = str(report.fatal) if report.fatal is not None else None
            await collector.aclose(RunEnd(done, report.from_cache, failed, remaining, fatal))


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

"""WorkerProcess: works on what was submitted, until it is drained."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.extras import needs_celery
from sttbatch.composition.long_lived import LongLivedProcess
from sttbatch.composition.ordered_work import ordered_jobs
from sttbatch.composition.settings import Settings
from sttbatch.composition.telemetry import exported_worker
from sttbatch.composition.workshop import Workshop
from sttbatch.core.errors import StateError
from sttbatch.core.events import Event, MetricsServed
from sttbatch.core.jobs import WorkerLoad
from sttbatch.core.orders import Assignment
from sttbatch.core.ports import JobDispatcher
from sttbatch.execution.worker_service import JobEnd, WorkerService
from sttbatch.kinds.ordering import route_of
from sttbatch.queue.dispatch import LedgerDispatcher

if TYPE_CHECKING:
    from sttbatch.execution.celery_app import Messages
    from sttbatch.external.secret import Secret
    from sttbatch.monitoring.alerts import AlertRule
    from sttbatch.monitoring.worker_exporter import WorkerCollector

JOBS_BESIDE_LANES = 3
"""So many more recordings than lanes are processed: two are cut, one is written."""

TELL_S = 1.0
"""Seconds until `sttbatch workers` shows what a worker does now."""


class WorkerProcess(LongLivedProcess):
    """A worker from opening the ledger until it is drained.

    Args:
        receives: whether it receives the messages of a broker by itself, if there is one; False: it
            runs within Celery.
    """

    def __init__(
        self,
        settings: Settings,
        key: Secret | None,
        *,
        alerts: Sequence[AlertRule] = (),
        listeners: Sequence[Callable[[Event], None]] = (),
        receives: bool = True,
    ) -> None:
        super().__init__(settings, key, alerts=alerts, listeners=listeners)
        self._receives = receives
        self._route = route_of(run_config_of(settings).request)
        self._service: WorkerService | None = None
        self._messages: Messages | None = None
        self._figures: WorkerCollector | None = None

    def drain(self) -> None:
        """Take no more jobs; requests in flight are finished and stored, then `run` returns."""
        super().drain()
        if self._messages is not None:
            self._messages.stop()
        if self._service is not None:
            self._service.drain()

    async def run(self) -> None:
        async with self._seen(), self._receiving():
            await super().run()

    async def _work(self, workshop: Workshop) -> None:
        service = self._service = self._service_of(workshop)
        if self._drained.is_set():
            return
        telling = asyncio.create_task(self._tell(workshop))
        try:
            await service.run()
        finally:
            telling.cancel()
            await asyncio.wait([telling])

    def _has_used_ledger(self) -> bool:
        return self._service is not None and self._service.has_asked

    def _service_of(self, workshop: Workshop) -> WorkerService:
        config = run_config_of(self._settings)
        jobs = ordered_jobs(workshop, self._settings, config, lambda: service.draining, self.emit)

        def stop() -> None:
            for run in workshop.runs:
                run.stop()

        process: Callable[[Assignment], Awaitable[JobEnd]] = jobs.process
        dispatcher: JobDispatcher
        dispatcher = ledger = LedgerDispatcher(
            jobs.queue, jobs.orders, jobs.worker, self._route, self._settings.outage_wait
        )
        if self._messages is not None:
            from sttbatch.execution.celery_dispatcher import CeleryDispatcher

            dispatcher = told = CeleryDispatcher(
                ledger, jobs.orders, self._route, self._messages.doorbells, self.warn
            )
            process = told.acknowledging(process, lambda: service.draining)
        lanes = config.concurrency.value
        max_jobs = lanes + JOBS_BESIDE_LANES
        service = WorkerService(dispatcher, process, lanes, max_jobs, stop, self.warn)
        return service

    @contextlib.asynccontextmanager
    async def _receiving(self) -> AsyncIterator[None]:
        """Receive the messages of a broker, if there is one."""
        if self._settings.broker_url is None:
            yield
            return
        with needs_celery():
            from sttbatch.execution.celery_app import Messages
        # For the lanes; what is prepared beside them is the ledger's to name.
        lanes = run_config_of(self._settings).concurrency.value
        async with Messages(self._route, lanes, receives=self._receives) as self._messages:
            yield

    @contextlib.asynccontextmanager
    async def _seen(self) -> AsyncIterator[None]:
        """Serve and send figures, and send traces, to whom the settings name."""
        async with contextlib.AsyncExitStack() as seen:
            port, url = self._settings.metrics_port, self._settings.remote_write
            if port is not None:
                from sttbatch.composition.worker_metrics import served

                serving = served(port, self._collector())
                self.emit(MetricsServed("", await seen.enter_async_context(serving)))
            if url is not None:
                from sttbatch.composition.worker_metrics import written

                await seen.enter_async_context(written(url, self._collector(), self.warn))
            exporting = exported_worker(self.warn, self._listeners, self._collector)
            await seen.enter_async_context(exporting)
            yield

    def _collector(self) -> WorkerCollector:
        """What collects the figures, for all who ask for them."""
        if self._figures is None:
            from sttbatch.composition.worker_metrics import worker_collector

            self._figures = worker_collector(
                self._settings, lambda: self._open_workshop, lambda: self._metrics.store, self._load
            )
        return self._figures

    def _lost(self, error: StateError) -> None:
        if self._service is not None:
            self._service.abort(error)

    def _load(self) -> WorkerLoad:
        workshop, service = self._workshop, self._service
        if workshop is None or service is None:
            return WorkerLoad()
        lanes = workshop.lanes
        return WorkerLoad(lanes.limit, lanes.in_use, service.recordings, service.state, self._route)

    async def _tell(self, workshop: Workshop) -> None:
        """Tell the ledger what changes; heartbeats alone come too seldom."""
        told: WorkerLoad | None = None
        while True:
            if (load := self._load()) != told:
                # The service notices when the ledger cannot be written.
                with contextlib.suppress(StateError):
                    await workshop.workers.store.tell(workshop.worker.id, load)
                told = load
            await asyncio.sleep(TELL_S)

"""BatchRun: one batch from opening the ledger to its report, for the command line and the API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sttbatch.composition.effective_options import check_device, concurrency_of, terms_left_out
from sttbatch.composition.extras import needs_celery
from sttbatch.composition.object_storage import objects_of
from sttbatch.composition.process_limits import check_process_limits, collect_garbage
from sttbatch.composition.run_monitoring import end_of, measured, watching
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import (
    LedgerStores,
    data_folder,
    is_first_run,
    opened_ledger,
    opened_stores,
)
from sttbatch.composition.unchanged_recordings import report_up_to_date
from sttbatch.core.errors import RecordingError, StateError
from sttbatch.core.events import Emit, Event, Warned
from sttbatch.core.jobs import JobPriority
from sttbatch.core.locations import FileStatus, Location, ObjectUrl, is_object
from sttbatch.database.database import Database
from sttbatch.database.private_files import run_folder
from sttbatch.kinds.report import BatchForecast, BatchReport
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.processing.discovery import Discovery

if TYPE_CHECKING:
    from sttbatch.composition.workshop import Workshop
    from sttbatch.external.secret import Secret
    from sttbatch.kinds.ordering import PlacedOrder
    from sttbatch.kinds.transcription.pipeline import TranscriptionPipeline
    from sttbatch.monitoring.alerts import AlertRule
    from sttbatch.outputs.document import Document
    from sttbatch.processing.media.media_workers import MediaWorkers

    Observe = Callable[[Document], Awaitable[None]]


class BatchRun:
    """Transcribes discovered recordings once; the result is in `report`.

    Args:
        key: the API key; None: the engine needs none, or nothing is sent.
        alerts: rules that are evaluated every minute, and at the end.
        listeners: receive every event, after the report.
        observe: receives each document after its outputs were written; with it no recording is
            skipped as up to date.
        ends_process: the process ends after the run, so that modules are not garbage-collected.
    """

    def __init__(
        self,
        settings: Settings,
        key: Secret | None = None,
        *,
        alerts: Sequence[AlertRule] = (),
        listeners: Sequence[Callable[[Event], None]] = (),
        observe: Observe | None = None,
        ends_process: bool = False,
    ) -> None:
        self._settings = settings
        self._key = key
        self._alerts = alerts
        self._observe = observe
        self._ends_process = ends_process
        self._workshop: Workshop | None = None
        self._pipeline: TranscriptionPipeline | None = None
        self._stopped = False
        self.report = BatchReport()
        self.listeners: list[Callable[[Event], None]] = [self.report, *listeners]

    def stop(self) -> None:
        """Begin nothing new; requests in flight are finished and stored."""
        self._stopped = True
        if self._pipeline is not None:
            self._pipeline.control.stop()

    async def transcribe(
        self,
        discovery: Discovery,
        config: RunConfig,
        priority: JobPriority = JobPriority.MEDIUM,
        working: contextlib.AbstractContextManager[object] | None = None,
    ) -> None:
        """Transcribe all recordings; `working` is entered while there are any to process.

        Raises UsageError if the process may use too little memory, or too few files, if there is no
        GPU and one is asked for, or if outputs are objects and the extra `s3` is not installed.
        """
        self._check()
        check_device(self._settings)
        if config.outputs.directory is not None and is_object(config.outputs.directory):
            await asyncio.to_thread(objects_of(self._settings))
        async with contextlib.AsyncExitStack() as opened:
            media: MediaWorkers | None = None
            is_first = is_first_run(self._settings)
            if is_first:
                # Everything is new, so what that needs is loaded while the ledger is created.
                media = await opened.enter_async_context(self._media(discovery))
            opening = asyncio.get_running_loop().run_in_executor(
                None, opened_ledger, self._settings
            )
            try:
                if is_first:
                    import sttbatch.composition.workshop  # noqa: F401
                database = opened.enter_context(await asyncio.shield(opening))
            except BaseException:
                # Its thread goes on, and what it opens would be nobody's.
                opening.add_done_callback(_close_ledger)
                raise
            config = await _at_known_origin(config, database)
            collector = await opened.enter_async_context(
                measured(self._settings, lambda: end_of(self.report), self.warn)
            )
            await opened.enter_async_context(watching(self._alerts, database, self.emit))
            if self._observe is None and not config.run.force:
                await report_up_to_date(self._settings, database, discovery, config, self.emit)
            if collector is not None:
                # Counting them one by one would take longer than checking them.
                collector.count_unchanged(len(self.report.recordings))
                self.listeners.append(collector)
            if discovery.candidates or discovery.failures:
                if media is None:
                    media = await opened.enter_async_context(self._media(discovery))
                async with self._opened(media, database, config, priority) as pipeline:
                    with working or contextlib.nullcontext():
                        await pipeline.run(discovery)
                        await self._fulfil_orders(pipeline)

    async def _fulfil_orders(self, pipeline: TranscriptionPipeline) -> None:
        if self._workshop is not None:
            await fulfil_orders_of(self._workshop, pipeline, self._settings, self.emit)

    async def submit(
        self, discovery: Discovery, config: RunConfig, priority: JobPriority = JobPriority.MEDIUM
    ) -> list[PlacedOrder]:
        """Queue recordings for workers, and return their orders; the rest is in `report`.

        Outputs of what is stored are written. Raises UsageError as `transcribe`.
        """
        self._check()
        with opened_ledger(self._settings) as database:
            config = await _at_known_origin(config, database)
            if not config.run.force:
                await report_up_to_date(self._settings, database, discovery, config, self.emit)
            if not (discovery.candidates or discovery.failures):
                return []
            orders = LedgerStores(self._settings, database).orders
            async with (
                self._media(discovery) as media,
                self._opened(media, database, config, priority) as pipeline,
            ):
                placed = await pipeline.submit(discovery, orders)
            if placed and self._settings.broker_url is not None:
                with needs_celery():
                    from sttbatch.execution.celery_dispatcher import tell_broker
                from sttbatch.kinds.ordering import route_of

                await tell_broker(orders, route_of(config.request), self.warn)
            return placed

    async def forecast(self, discovery: Discovery, config: RunConfig) -> BatchForecast:
        """Estimate what `transcribe` would send, without sending; raises UsageError as it does."""
        self._check()
        check_device(self._settings)
        with opened_ledger(self._settings) as database:
            config = await _at_known_origin(config, database)
            async with (
                self._media(discovery) as media,
                self._opened(media, database, config) as pipeline,
            ):
                return await pipeline.forecast(discovery)

    async def status_of(self, path: Location) -> FileStatus:
        """The status of a file or an object; raises RecordingError if it cannot be read."""
        if isinstance(path, ObjectUrl):
            from sttbatch.kinds.transcription.fetched_objects import FetchedObjects

            return await FetchedObjects(objects_of(self._settings), Path()).facts(path)
        try:
            return await asyncio.to_thread(path.stat)
        except OSError as error:
            raise RecordingError(f"it cannot be read: {error.strerror}") from error

    async def content_of(self, path: Location) -> str:
        """The SHA-256 of a file or an object; raises RecordingError if it cannot be read."""
        from sttbatch.caching.fingerprints import Fingerprinter

        with opened_stores(self._settings) as stores:
            index = Fingerprinter(stores.files)
            if not isinstance(path, ObjectUrl):
                return (await index.fingerprint(path)).sha256
            from sttbatch.kinds.transcription.fetched_objects import FetchedObjects

            await index.load([path])
            with run_folder(data_folder(self._settings) / "spool") as spool:
                fetched = FetchedObjects(objects_of(self._settings), spool)
                facts = await fetched.facts(path)
                return (await fetched.fingerprint(index, facts)).sha256

    def warn(self, message: str) -> None:
        self.emit(Warned("", message))

    def emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def _check(self) -> None:
        check_process_limits()
        if (left_out := terms_left_out(self._settings)) is not None:
            self.warn(left_out)

    @contextlib.asynccontextmanager
    async def _media(self, discovery: Discovery) -> AsyncIterator[MediaWorkers]:
        """Media workers, as many as the recordings need, which load in the background."""
        from sttbatch.processing.media.media_workers import MediaWorkers, workers_for

        with run_folder(data_folder(self._settings) / "spool") as spool:
            lanes = concurrency_of(self._settings).value
            async with MediaWorkers(spool, workers_for(lanes)) as media:
                await media.start(len(discovery.candidates))
                yield media

    @contextlib.asynccontextmanager
    async def _opened(
        self,
        media: MediaWorkers,
        database: Database,
        config: RunConfig,
        priority: JobPriority = JobPriority.MEDIUM,
    ) -> AsyncIterator[TranscriptionPipeline]:
        from sttbatch.composition.workshop import open_workshop, transcription_run

        if self._ends_process:
            collect_garbage()
        async with open_workshop(
            self._settings, data_folder(self._settings), database, media, self._key, self.emit
        ) as workshop:
            self._workshop = workshop
            self._pipeline = transcription_run(
                workshop,
                config,
                self.emit,
                priority=priority,
                observe=self._observe,
            )
            if self._stopped:
                self._pipeline.control.stop()
            yield self._pipeline


async def fulfil_orders_of(
    workshop: Workshop, pipeline: TranscriptionPipeline, settings: Settings, emit: Emit
) -> None:
    """Write what others ordered of the jobs that a run completed, unless it ended early."""
    control, completed = pipeline.control, pipeline.claims.completed
    if control.closed or not completed:
        return
    # Workers find them too.
    with contextlib.suppress(StateError):
        stores = LedgerStores(settings, workshop.database)
        ordered = await stores.orders.waiting(completed)
        if not ordered:
            return
        from sttbatch.composition.ordered_work import fulfil_orders

        config = pipeline.config
        await fulfil_orders(workshop, settings, config, ordered, lambda: control.closed, emit)


def _close_ledger(opening: asyncio.Future[contextlib.closing[Database]]) -> None:
    if opening.exception() is None:
        with opening.result():
            pass


async def _at_known_origin(config: RunConfig, database: Database) -> RunConfig:
    from sttbatch.composition.known_origin import at_known_origin

    return await at_known_origin(config, database)

"""LanguageBatch: one task over recordings, from opening the ledger to its report."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.extras import needs_celery
from sttbatch.composition.known_origin import at_known_origin
from sttbatch.composition.language_runs import (
    ChosenModel,
    chosen_model,
    known_prices,
    language_origin,
    language_run,
    spec_run,
)
from sttbatch.composition.process_limits import check_process_limits, collect_garbage
from sttbatch.composition.run_monitoring import watching
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import LedgerStores, data_folder, opened_ledger
from sttbatch.composition.workshop import Workshop, open_workshop, transcription_run
from sttbatch.core.errors import StateError
from sttbatch.core.events import Event, Warned
from sttbatch.core.jobs import JobPriority
from sttbatch.core.language_models import TokenPrices
from sttbatch.core.options import OutputOptions
from sttbatch.database.private_files import run_folder
from sttbatch.kinds.language.forecast import LanguageForecast, forecast, with_transcription
from sttbatch.kinds.language.pipeline import LanguagePipeline
from sttbatch.kinds.language.spec import LanguageSpec, Recognition
from sttbatch.kinds.language.task import LanguageTask
from sttbatch.kinds.language.text_job import LanguageConfig
from sttbatch.kinds.ordering import ENDPOINT_ENGINE, PlacedOrder, route_to
from sttbatch.kinds.report import BatchReport
from sttbatch.processing.discovery import Discovery
from sttbatch.processing.media.media_workers import MediaWorkers

if TYPE_CHECKING:
    from sttbatch.external.secret import Secret
    from sttbatch.monitoring.alerts import AlertRule


class LanguageOptions(Struct, frozen=True):
    """The options of a batch; those that are not described are as in `RunFlags`.

    Attributes:
        task: makes the task for the chosen model.
        outputs: their formats are those of the task.
        transcribes: recordings without a transcript get one first.
    """

    task: Callable[[ChosenModel], LanguageTask[Any]]
    outputs: OutputOptions
    transcribes: bool = True
    force: bool = False
    no_wait: bool = False
    fail_fast: bool = False
    max_cost: float | None = None
    priority: JobPriority = JobPriority.MEDIUM


class LanguageBatch:
    """Runs a task over discovered recordings once; the result is in `report`.

    Args:
        key: the API key; None: nothing is sent.
        alerts, listeners, ends_process: as of `BatchRun`.
    """

    def __init__(
        self,
        settings: Settings,
        key: Secret | None = None,
        *,
        alerts: Sequence[AlertRule] = (),
        listeners: Sequence[Callable[[Event], None]] = (),
        ends_process: bool = False,
    ) -> None:
        self._settings = settings
        self._key = key
        self._alerts = alerts
        self._ends_process = ends_process
        self._workshop: Workshop | None = None
        self._stopped = False
        self.report = BatchReport()
        self.listeners: list[Callable[[Event], None]] = [self.report, *listeners]

    def stop(self) -> None:
        """Begin nothing new; requests in flight are finished and stored."""
        self._stopped = True
        for run in self._workshop.runs if self._workshop is not None else ():
            run.stop()

    async def run(
        self,
        discovery: Discovery,
        options: LanguageOptions,
        working: contextlib.AbstractContextManager[object] | None = None,
    ) -> None:
        """Run the task over all recordings; `working` is entered once that has begun.

        Raises UsageError if a limit of cost needs a price that nobody says.
        """
        async with self._opened() as workshop:
            model = await chosen_model(self._settings, workshop.engines.models)
            prices = known_prices(model, self._settings, options.max_cost)
            if prices is None:
                self._warn_of_price(model)
            with working or contextlib.nullcontext():
                pipeline = await self._pipeline(workshop, options, model, prices)
                await pipeline.run(discovery)
                await self._fulfil_orders(workshop, pipeline)

    async def run_spec(
        self,
        discovery: Discovery,
        spec: LanguageSpec,
        task: LanguageTask[Any],
        working: contextlib.AbstractContextManager[object] | None = None,
    ) -> None:
        """Run a job by its spec; raises as `run`."""
        async with self._opened() as workshop:
            with working or contextlib.nullcontext():
                pipeline = await spec_run(workshop, self._settings, spec, task, self.emit)
                if self._stopped:
                    pipeline.control.stop()
                await pipeline.run(discovery)
                await self._fulfil_orders(workshop, pipeline)

    async def submit(self, discovery: Discovery, options: LanguageOptions) -> list[PlacedOrder]:
        """Queue recordings for workers, and return their orders; the rest is in `report`.

        Outputs of what is stored are written.
        """
        async with self._opened() as workshop:
            orders = LedgerStores(self._settings, workshop.database).orders
            # Workers know what it costs.
            model = await chosen_model(self._settings, workshop.engines.models)
            pipeline = await self._pipeline(workshop, options, model, None)
            placed = await pipeline.submit(discovery, orders)
            if placed and self._settings.broker_url is not None:
                with needs_celery():
                    from sttbatch.execution.celery_dispatcher import tell_broker

                route = route_to(ENDPOINT_ENGINE, language_origin(self._settings))
                await tell_broker(orders, route, self.warn)
            return placed

    async def _fulfil_orders(self, workshop: Workshop, pipeline: LanguagePipeline[Any]) -> None:
        """Write what others ordered of the jobs that this run completed, unless it ended early."""
        completed = pipeline.completion.claims.completed
        if pipeline.control.closed or not completed:
            return
        from sttbatch.composition.ordered_work import fulfil_orders

        # Workers find them too.
        with contextlib.suppress(StateError):
            await fulfil_orders(
                workshop,
                self._settings,
                run_config_of(self._settings),
                completed,
                lambda: self._stopped,
                self.emit,
            )

    async def forecast(self, discovery: Discovery, options: LanguageOptions) -> LanguageForecast:
        """Estimate what `run` would send, without sending."""
        async with self._opened() as workshop:
            model = await chosen_model(self._settings, workshop.engines.models)
            pipeline = await self._pipeline(workshop, options, model, model.prices)
            found = replace(await forecast(pipeline, discovery), is_priced=model.prices is not None)
            if not found.missing or not options.transcribes:
                return found
            config = await at_known_origin(run_config_of(self._settings), workshop.database)
            batch = await transcription_run(workshop, config, self.emit).forecast(
                Discovery(list(found.missing))
            )
            guessed = (with_transcription(pipeline, each) for each in batch.recordings)
            return replace(found, recordings=(*found.recordings, *guessed))

    def warn(self, message: str) -> None:
        self.emit(Warned("", message))

    def emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def _warn_of_price(self, model: ChosenModel) -> None:
        self.warn(
            f"the endpoint does not say what the model {model.name} costs, so its cost counts as "
            "0; set chat_price_in and chat_price_out"
        )

    async def _pipeline(
        self,
        workshop: Workshop,
        options: LanguageOptions,
        model: ChosenModel,
        prices: TokenPrices | None,
    ) -> LanguagePipeline[Any]:
        config = LanguageConfig(
            language_origin(self._settings),
            options.outputs,
            Recognition.of(run_config_of(self._settings)) if options.transcribes else None,
            options.force,
            options.no_wait,
            self._settings.job_retries,
            options.priority,
        )
        pipeline = await language_run(
            workshop,
            self._settings,
            options.task(model),
            config,
            prices,
            self.emit,
            max_cost=options.max_cost,
            fail_fast=options.fail_fast,
        )
        if self._stopped:
            pipeline.control.stop()
        return pipeline

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[Workshop]:
        check_process_limits()
        folder = data_folder(self._settings)
        with opened_ledger(self._settings) as database, run_folder(folder / "spool") as spool:
            async with (
                watching(self._alerts, database, self.emit),
                MediaWorkers(spool) as media,
                open_workshop(
                    self._settings, folder, database, media, self._key, self.emit
                ) as workshop,
            ):
                if self._ends_process:
                    collect_garbage()
                self._workshop = workshop
                yield workshop

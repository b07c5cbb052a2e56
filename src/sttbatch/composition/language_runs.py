"""The pipeline of a task over transcripts, in a workshop, and the model that it asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.caching.result_cache import ResultCache
from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.known_origin import at_known_origin
from sttbatch.composition.object_storage import objects_of
from sttbatch.composition.prices import check_limits
from sttbatch.composition.searching import opened_index, transcript_source
from sttbatch.composition.settings import Settings
from sttbatch.composition.transcribed_first import transcribing
from sttbatch.composition.workshop import Workshop
from sttbatch.core import events
from sttbatch.core.addresses import origins
from sttbatch.core.errors import StateError
from sttbatch.core.language_models import LanguageModels, TokenPrices
from sttbatch.core.models import MERGE_VERSION
from sttbatch.core.orders import Assignment
from sttbatch.database.chunk_index import SqlChunkIndex
from sttbatch.database.files import SqlFileIndex
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.outputs import SqlOutputStore
from sttbatch.execution.pay_once import PayOnce, RunBudget
from sttbatch.kinds.claims import RunClaims
from sttbatch.kinds.indexing.edits import EditedOutput, edited_outputs
from sttbatch.kinds.language.asking import ENGINE, Asker
from sttbatch.kinds.language.completion import TextCompletion
from sttbatch.kinds.language.kind import LanguageKind
from sttbatch.kinds.language.pipeline import LanguagePipeline
from sttbatch.kinds.language.spec import LanguageSpec, Recognition
from sttbatch.kinds.language.task import LanguageTask
from sttbatch.kinds.language.text_job import LanguageConfig
from sttbatch.kinds.language.transcripts import TranscriptFinder
from sttbatch.kinds.ordering import route_of
from sttbatch.kinds.registry import job_kind
from sttbatch.kinds.run_control import RunControl
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.writer import OutputWriter
from sttbatch.processing.scheduling.orchestrator import ParallelOrchestrator
from sttbatch.queue.job_queue import JobQueue

R = TypeVar("R")

DEFAULT_CONTEXT_TOKENS = 32_768
"""Of models whose context the endpoint does not tell; the smallest of today's large ones."""

_EARLIER_QUESTIONS = 200


class ChosenModel(Struct, frozen=True):
    """A chat model, its context, and its prices; None: nobody says."""

    name: str
    context_tokens: int
    prices: TokenPrices | None


async def chosen_model(settings: Settings, models: LanguageModels) -> ChosenModel:
    """The chat model of the settings, with what they or the endpoint say about it."""
    facts = await models.facts(settings.chat_model)
    prices = facts.prices
    if settings.chat_price_in is not None and settings.chat_price_out is not None:
        prices = TokenPrices(settings.chat_price_in, settings.chat_price_out)
    context = settings.chat_context or facts.context_tokens or DEFAULT_CONTEXT_TOKENS
    return ChosenModel(settings.chat_model, context, prices)


def known_prices(
    model: ChosenModel, settings: Settings, max_cost: float | None
) -> TokenPrices | None:
    """The prices of a model; raises UsageError if a limit of cost needs them and nobody says."""
    needed = "chat_price_in and chat_price_out"
    check_limits(model.name, model.prices, settings, max_cost, needed)
    return model.prices


async def language_run(
    workshop: Workshop,
    settings: Settings,
    task: LanguageTask[R],
    config: LanguageConfig,
    prices: TokenPrices | None,
    emit: events.Emit,
    *,
    max_cost: float | None = None,
    fail_fast: bool = False,
    assigned: Assignment | None = None,
) -> LanguagePipeline[R]:
    """The pipeline of one run of a task."""
    database, levels = workshop.database, workshop.caches.levels
    transcription = run_config_of(settings)
    if config.recognition is not None:
        transcription = config.recognition.run_config(transcription)
    transcription = await at_known_origin(transcription, database)
    lanes: ParallelOrchestrator[object, object] = ParallelOrchestrator(
        workshop.lanes, 1, workshop.slots
    )
    control = RunControl(lanes, emit, fail_fast=fail_fast, refusals=workshop.refusals)
    workshop.runs.add(control)
    budget = RunBudget(max_cost)
    ledger = workshop.claims.ledger
    pay_once = PayOnce(
        cache=levels,
        claims=workshop.claims,
        spool=workshop.spool,
        spans=SqlChunkIndex(database, workshop.caches.ledger),
        budget=budget,
        closed=lambda: control.closed,
        stopped=lanes.stopped,
        force=config.force,
    )
    fetched = workshop.fetched
    registry = OutputRegistry(
        SqlOutputStore(database, workshop.host),
        workshop.owned_names,
        fetched.objects if fetched is not None else None,
    )
    return LanguagePipeline(
        task,
        config,
        _finder(workshop, settings, transcription, config.outputs.rules, control, emit),
        Asker(
            models=workshop.engines.models,
            pay_once=pay_once,
            kind=task.kind,
            origin=config.origin,
            prices=prices or TokenPrices(),
            emit=emit,
        ),
        TextCompletion(
            task,
            config,
            levels,
            RunClaims(JobQueue(LedgerJobs(database), workshop.workers), workshop.worker),
            OutputWriter(registry, folder=workshop.media.spool),
            control,
            emit,
            is_ordered=assigned is not None,
        ),
        control,
        await ledger.tokens_sent(ENGINE, task.model, task.kind, _EARLIER_QUESTIONS),
        transcribing(
            workshop, settings, transcription, config, control, budget, emit, measures=not assigned
        )
        if config.recognition is not None
        else None,
        assigned,
    )


def language_origin(settings: Settings) -> str:
    """The origin of the server of language models."""
    return origins(settings.base_url)[0]


def _finder(
    workshop: Workshop,
    settings: Settings,
    transcription: RunConfig,
    rules: str,
    control: RunControl,
    emit: events.Emit,
) -> TranscriptFinder:
    database = workshop.database
    addresser = ContentAddresser(transcription.request, transcription.chunking.channels)
    source = transcript_source(settings, database)

    async def edits() -> Mapping[str, EditedOutput]:
        try:
            with opened_index(settings) as index:
                return await edited_outputs(source, index, objects_of(settings))
        except StateError as error:
            emit(events.Warned("", f"{error}. Texts of edited outputs are not used"))
            return {}

    def preferred(sha256: str) -> str:
        stream, mode = transcription.chunking.likely_stream, transcription.run.audit_mode
        return addresser.transcript_key(sha256, stream, MERGE_VERSION, mode)

    return TranscriptFinder(
        Fingerprinter(SqlFileIndex(database)),
        source,
        ResultCache(workshop.caches.levels, transcription.request),
        edits,
        preferred,
        lambda: control.closed,
        workshop.fetched,
        rules,
    )


async def ordered_language_run(
    workshop: Workshop,
    settings: Settings,
    assigned: Assignment,
    emit: events.Emit,
    *,
    forced: bool,
) -> LanguagePipeline[Any]:
    """The pipeline of a worker's run for one job.

    Raises UsageError if its spec is damaged, or a budget needs a price that nobody says.
    """
    spec = LanguageSpec.from_job_spec(assigned.job.spec)
    kind = job_kind(assigned.job.spec.kind)
    assert isinstance(kind, LanguageKind)
    task = kind.task(spec)
    return await spec_run(workshop, settings, spec, task, emit, assigned, forced=forced)


async def spec_run(
    workshop: Workshop,
    settings: Settings,
    spec: LanguageSpec,
    task: LanguageTask[Any],
    emit: events.Emit,
    assigned: Assignment | None = None,
    *,
    forced: bool = False,
) -> LanguagePipeline[Any]:
    """The pipeline of a run for one spec; raises UsageError as `known_prices`."""
    settings = replace(settings, chat_model=spec.model)
    model = await chosen_model(settings, workshop.engines.models)
    config = LanguageConfig(
        spec.origin,
        spec.outputs,
        _possible(spec.recognition, run_config_of(settings)),
        force=forced,
        no_wait=assigned is not None,
        job_retries=settings.job_retries,
    )
    prices = known_prices(model, settings, None)
    return await language_run(workshop, settings, task, config, prices, emit, assigned=assigned)


def _possible(recognition: Recognition | None, own: RunConfig) -> Recognition | None:
    """How a recording is transcribed; None: it is not, or not by the engine of this process."""
    if recognition is None or route_of(recognition.request) != route_of(own.request):
        return None
    return recognition

"""What a process asks, created on demand: the engine of the settings, and language models."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.settings import Settings
from sttbatch.core.addresses import is_loopback, origins
from sttbatch.core.engine import Answer, APIRequest, Engine, RecordRequest
from sttbatch.core.events import Emit, Warned
from sttbatch.core.language_models import (
    ChatAnswer,
    Embeddings,
    LanguageModels,
    ModelFacts,
    Question,
)
from sttbatch.core.models import Upload
from sttbatch.core.options import RequestOptions, RetryConfig
from sttbatch.core.version import __version__
from sttbatch.external.secret import Secret

if TYPE_CHECKING:
    from sttbatch.external.cloudru.endpoint import Endpoint


class DeferredEngine:
    """An `Engine` that is created by its first use."""

    def __init__(self, create: Callable[[], Engine]) -> None:
        self._create = create
        self._created: Engine | None = None

    @property
    def timestamps(self) -> bool:
        return self._engine.timestamps

    @property
    def longest_s(self) -> float | None:
        return self._engine.longest_s

    def prepare(self, requests: int) -> None:
        self._engine.prepare(requests)

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        return await self._engine.transcribe(upload, options, record, stopped)

    @property
    def _engine(self) -> Engine:
        if self._created is None:
            self._created = self._create()
        return self._created


class DeferredModels:
    """The `LanguageModels` of an endpoint, which is connected by their first use."""

    def __init__(self, endpoint: Callable[[], Endpoint]) -> None:
        self._endpoint = endpoint
        self._created: LanguageModels | None = None

    async def facts(self, model: str) -> ModelFacts:
        return await self._models.facts(model)

    async def answer(
        self, question: Question, record: RecordRequest, stopped: asyncio.Event
    ) -> tuple[ChatAnswer, APIRequest]:
        return await self._models.answer(question, record, stopped)

    async def embed(
        self, texts: Sequence[str], model: str, record: RecordRequest, stopped: asyncio.Event
    ) -> tuple[Embeddings, APIRequest]:
        return await self._models.embed(texts, model, record, stopped)

    @property
    def _models(self) -> LanguageModels:
        if self._created is None:
            from sttbatch.external.cloudru.language_models import CloudRuLanguageModels

            self._created = CloudRuLanguageModels(self._endpoint())
        return self._created


class Engines(Struct, frozen=True):
    """What a process asks: the engine of its settings, and language models.

    Requests of both to the endpoint share its connections and its rate limit.
    """

    engine: Engine
    models: LanguageModels


@contextlib.asynccontextmanager
async def open_engines(
    settings: Settings, key: Secret | None, emit: Emit, data_folder: Path
) -> AsyncIterator[Engines]:
    """The engines for all runs of a workshop; without a key they must not send.

    All runs at one ledger share the rate limit.
    """
    async with contextlib.AsyncExitStack() as opened:

        @functools.cache
        def endpoint() -> Endpoint:
            created = _endpoint(settings, key or Secret(""), emit, data_folder)
            opened.push_async_callback(created.aclose)
            return created

        loop = asyncio.get_running_loop()

        def warn(message: str) -> None:
            # It may come from the thread that loads the weights.
            loop.call_soon_threadsafe(emit, Warned("", message))

        def engine() -> Engine:
            if settings.engine == "local":
                from sttbatch.external.local.whisper_engine import LocalEngine

                model = run_config_of(settings).request.model
                local = LocalEngine(model, settings.device, warn=warn)
                opened.push_async_callback(local.aclose)
                return local
            from sttbatch.external.cloudru.transcription import CloudRuTranscription

            return CloudRuTranscription(endpoint())

        if settings.engine == "cloudru":
            # Imported while the media workers load theirs, and while the disk is waited for.
            module = "sttbatch.external.cloudru.transcription"
            imported = asyncio.create_task(asyncio.to_thread(import_module, module))
            opened.push_async_callback(asyncio.wait, [imported])

        yield Engines(DeferredEngine(engine), DeferredModels(endpoint))


def _endpoint(settings: Settings, key: Secret, emit: Emit, data_folder: Path) -> Endpoint:
    from sttbatch.database.opening import open_rates
    from sttbatch.external.cloudru.admission import AdmissionControl, RateLimiter
    from sttbatch.external.cloudru.connections import ConnectionPool
    from sttbatch.external.cloudru.endpoint import Endpoint
    from sttbatch.external.cloudru.endpoint_request import RequestLimits
    from sttbatch.external.cloudru.model_check import ModelCheck
    from sttbatch.external.cloudru.rate_limit import RateLimits

    def warn(message: str) -> None:
        emit(Warned("", message))

    limiter = RateLimiter(
        RateLimits(settings.rate_limit, settings.audio_rate_limit),
        open_rates(data_folder, settings.database_url, origins(settings.base_url)[0], warn),
    )
    models = ModelCheck(settings.base_url, key.masked, only_internal=settings.only_internal)
    return Endpoint(
        settings.base_url,
        key,
        AdmissionControl(limiter, settings.outage_wait, is_up=models.is_up, warn=warn),
        ConnectionPool(f"sttbatch/{__version__}", emit, direct=is_loopback(settings.base_url)),
        RequestLimits(
            settings.retries,
            waits=RetryConfig(settings.retry_backoff, settings.retry_base, settings.retry_cap),
        ),
        warn,
        models,
    )

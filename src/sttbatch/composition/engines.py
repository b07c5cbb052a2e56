"""The engine of the settings, created on demand, as some load a model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from sttbatch.composition.settings import Settings
from sttbatch.core.addresses import is_loopback, origins
from sttbatch.core.engine import Answer, Engine, RecordRequest
from sttbatch.core.events import Emit, Warned
from sttbatch.core.models import Upload
from sttbatch.core.options import RequestOptions, RetryConfig
from sttbatch.core.version import __version__
from sttbatch.external.secret import Secret


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

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        return await self._engine.transcribe(upload, options, record, stopped)

    async def aclose(self) -> None:
        if self._created is not None:
            await self._created.aclose()

    @property
    def _engine(self) -> Engine:
        if self._created is None:
            self._created = self._create()
        return self._created


@contextlib.asynccontextmanager
async def engine_of(
    settings: Settings, key: Secret | None, emit: Emit, model: str, data_folder: Path
) -> AsyncIterator[Engine]:
    """The engine for all runs of a workshop; without a key it must not send.

    All runs at one ledger share the rate limit.
    """

    def create() -> Engine:
        if settings.engine == "local":
            from sttbatch.external.local.whisper_engine import LocalEngine

            return LocalEngine(model)
        return _cloudru(settings, key or Secret(""), emit, data_folder)

    if settings.engine == "cloudru":
        # Imported now, while the media workers load their modules.
        import sttbatch.external.cloudru.transcription  # noqa: F401

    engine = DeferredEngine(create)
    try:
        yield engine
    finally:
        await engine.aclose()


def _cloudru(settings: Settings, key: Secret, emit: Emit, data_folder: Path) -> Engine:
    from sttbatch.database.opening import open_rates
    from sttbatch.external.cloudru.admission import AdmissionControl, RateLimiter
    from sttbatch.external.cloudru.connections import ConnectionPool
    from sttbatch.external.cloudru.endpoint import Endpoint, RequestLimits
    from sttbatch.external.cloudru.model_check import ModelCheck
    from sttbatch.external.cloudru.rate_limit import RateLimits
    from sttbatch.external.cloudru.transcription import CloudRuTranscription

    def warn(message: str) -> None:
        emit(Warned("", message))

    limiter = RateLimiter(
        RateLimits(settings.rate_limit, settings.audio_rate_limit),
        open_rates(data_folder, settings.database_url, origins(settings.base_url)[0], warn),
    )
    models = ModelCheck(settings.base_url, key.masked, only_internal=settings.only_internal)
    endpoint = Endpoint(
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
    return CloudRuTranscription(endpoint)

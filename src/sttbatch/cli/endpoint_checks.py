"""What `sttbatch doctor` asks of the endpoint and its key."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sttbatch.core.errors import EndpointUnreachable, StateError, UsageError

if TYPE_CHECKING:
    from sttbatch.composition.settings import Settings
    from sttbatch.core.engine import APIRequest
    from sttbatch.core.options import RequestOptions
    from sttbatch.external.cloudru.catalogue import Model

CLOCK_TOLERANCE_S = 60.0
"""Larger differences break certificate checks and shift the days of budgets."""


async def check_key(settings: Settings) -> str:
    """Say where the API key is; raises UsageError without one."""
    from sttbatch.composition.credentials import is_open, key_file, load_key

    load_key(settings)
    file = key_file(settings)
    if file is not None and is_open(file):
        return f"in {file}, which other users may read: chmod 600 {file}"
    return f"in {file or 'CLOUDRU_API_KEY'}; --send checks whether it is accepted"


class EndpointChecks:
    """One request to the endpoint, for three checks, which raise SttbatchError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._base_url = settings.base_url
        self._ahead_s: float | None = None
        self._models: tuple[Model, ...] | None = None

    async def reach(self) -> str:
        from sttbatch.composition.credentials import mask_of
        from sttbatch.external.cloudru.reachability import check_reachability

        answer = await check_reachability(self._base_url, mask_of(self._settings))
        self._ahead_s, self._models = answer.clock_ahead_s, answer.models
        hint = " (no list of models; some endpoints have none, or /v1 is missing in base_url)"
        return (
            f"{self._base_url} answers {answer.status} over {answer.http_version}, "
            f"{answer.tls or 'no TLS'}{hint if answer.status in {404, 405} else ''}"
        )

    async def clock(self) -> str:
        if self._ahead_s is None:
            return "not compared: the endpoint did not send its time"
        side = "ahead of" if self._ahead_s > 0 else "behind"
        text = f"{abs(self._ahead_s):.0f} s {side} the endpoint's"
        if abs(self._ahead_s) > CLOCK_TOLERANCE_S:
            raise EndpointUnreachable(f"this machine's clock is {text}")
        return text

    async def model(self) -> str:
        from sttbatch.composition.effective_options import CLOUDRU_MODEL
        from sttbatch.external.cloudru.catalogue import choices
        from sttbatch.external.cloudru.model_check import check_internal

        name = self._settings.model or CLOUDRU_MODEL
        if self._settings.only_internal:
            check_internal(name, self._models)
        if self._models is None:
            return f"{name} is not checked: the endpoint gave no list of models"
        listed = next((model for model in self._models if model.id == name), None)
        if listed is None:
            raise UsageError(f"{name} is not listed by the endpoint; {choices(self._models)}")
        if listed.type is not None and not listed.type.startswith("audio"):
            raise UsageError(f"{name} is not a speech model, its type is {listed.type}")
        provider = f", provider {listed.provider}" if listed.provider is not None else ""
        return f"{name} is listed{provider}; --send checks whether it can be called"


async def check_request(settings: Settings) -> str:
    """Send one second of audio, which is billed; raises SttbatchError if it is refused."""
    from sttbatch.composition.credentials import load_key
    from sttbatch.composition.effective_options import run_config_of
    from sttbatch.composition.engines import open_engines
    from sttbatch.composition.stores import data_folder
    from sttbatch.external.cloudru.reachability import check_transcription

    request = run_config_of(settings).request
    key = load_key(settings)
    folder = data_folder(settings)
    requests: list[APIRequest] = []

    async def record(sent: APIRequest) -> None:
        requests.append(sent)

    try:
        async with open_engines(settings, key, lambda _: None, folder) as engines:
            latency_s = await check_transcription(engines.engine, request, record)
    finally:
        await _book(settings, request, requests)
    return f"the key is accepted; one second of audio took {latency_s:.1f} s"


async def _book(
    settings: Settings, request: RequestOptions, requests: Sequence[APIRequest]
) -> None:
    """Record requests for budgets and `stats`; a damaged ledger is reported by another check."""
    from sttbatch.composition.stores import opened_stores
    from sttbatch.core.work import AUDIO_SECONDS, PROBE, RequestRecord, Usage, WorkItem

    with contextlib.suppress(StateError), opened_stores(settings) as stores:
        for sent in requests:
            usage = Usage(AUDIO_SECONDS, sent.audio_s)
            cost = sent.audio_s * settings.price_per_second
            item = WorkItem(PROBE, "", 0, request.engine, request.model, usage, cost)
            await stores.bookings.record(RequestRecord(item, sent))

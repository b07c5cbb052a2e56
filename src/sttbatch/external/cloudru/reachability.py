from __future__ import annotations

import asyncio
import email.utils
import io
import time
import wave
from collections.abc import Callable

import httpx
from msgspec import Struct

from sttbatch.core.addresses import is_loopback
from sttbatch.core.engine import Engine, RecordRequest
from sttbatch.core.errors import EndpointUnreachable
from sttbatch.core.models import Upload
from sttbatch.core.options import RequestOptions
from sttbatch.external.bounded_body import ENCODINGS, read_body
from sttbatch.external.cloudru.catalogue import MAX_CATALOGUE_BYTES, Model, parse_models
from sttbatch.external.tls import certificate_error, ssl_context

DEADLINE_S = 10.0
SEND_DEADLINE_S = 60.0
"""Seconds that each check may take as a whole, even if data keeps arriving."""


class Reachability(Struct, frozen=True):
    """How the endpoint responded.

    Attributes:
        tls: the version, such as TLSv1.3; None over plain HTTP, or if it is unknown.
        clock_ahead_s: seconds by which this machine's clock is ahead of the endpoint's, to within a
            second; None: it sends no date.
        models: those that it lists; None: it gives no list.
    """

    status: int
    http_version: str
    tls: str | None
    clock_ahead_s: float | None
    models: tuple[Model, ...] | None = None


async def check_reachability(
    base_url: str, mask: Callable[[str], str] = lambda text: text
) -> Reachability:
    """Request the list of models, which needs no key; `mask` removes the key from it.

    Raises EndpointUnreachable, also for an untrusted certificate, and UsageError as `ssl_context`.
    """
    context = await asyncio.to_thread(ssl_context)
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            httpx.AsyncClient(
                http2=True,
                verify=context,
                timeout=None,  # noqa: S113 - the deadline is the one above
                trust_env=not is_loopback(base_url),
                headers={"Accept-Encoding": ENCODINGS},
            ) as client,
            # Facts about the connection are available only while the response is open.
            client.stream("GET", base_url.rstrip("/") + "/models") as response,
        ):
            network = response.extensions.get("network_stream")
            tls = network.get_extra_info("ssl_object") if network is not None else None
            tls_version = tls.version() if tls is not None else None
            ahead_s = _ahead_s(response.headers.get("date"))
            body = await read_body(response, MAX_CATALOGUE_BYTES)
            is_list = response.status_code == 200 and body.is_whole
            return Reachability(
                response.status_code,
                response.http_version,
                tls_version,
                ahead_s,
                parse_models(body.data, mask) if is_list else None,
            )
    except TimeoutError as error:
        raise EndpointUnreachable(
            f"{base_url} did not answer within {DEADLINE_S:g} s. Check the network, and a proxy if "
            "there is one (HTTPS_PROXY)"
        ) from error
    except (httpx.RequestError, httpx.InvalidURL, ValueError, OSError) as error:
        raise EndpointUnreachable(
            certificate_error(error)
            or f"{base_url} cannot be reached: {error or type(error).__name__}. Check the "
            "network, and a proxy if there is one (HTTPS_PROXY)"
        ) from error


def _ahead_s(date: str | None) -> float | None:
    try:
        return time.time() - email.utils.parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return None


async def check_transcription(
    engine: Engine, options: RequestOptions, record: RecordRequest
) -> float:
    """Send a second of silence, which is billed and recorded, and return the latency in seconds."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(32_000))
    data = target.getvalue()
    upload = Upload("check.wav", "audio/wav", "wav", 1.0, len(data), data=data)
    try:
        async with asyncio.timeout(SEND_DEADLINE_S):
            answer = await engine.transcribe(upload, options, record, asyncio.Event())
    except TimeoutError as error:
        raise EndpointUnreachable(
            f"one second of audio brought no transcription within {SEND_DEADLINE_S:g} s"
        ) from error
    await record(answer.request)
    return answer.request.latency_s

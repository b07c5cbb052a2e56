"""Is the endpoint there, how does it speak, and does it take our key?"""

from __future__ import annotations

import io
import wave

import httpx

from sttbatch.core.engine import Engine, Post
from sttbatch.core.errors import EndpointUnreachable
from sttbatch.core.models import Upload
from sttbatch.core.options import RequestOptions
from sttbatch.external.connections import distrust, trusting

_TIMEOUT_S = 10.0


async def reach(base_url: str) -> str:
    """Ask for the list of models, which needs no key.

    Raises:
        EndpointUnreachable: no connection, or no trust in its certificate.
        UsageError: SSL_CERT_FILE names nothing that can be used.
    """
    trust = trusting()
    try:
        async with httpx.AsyncClient(http2=True, verify=trust, timeout=_TIMEOUT_S) as client:
            response = await client.get(base_url.rstrip("/") + "/models")
    except (httpx.RequestError, httpx.InvalidURL, ValueError, OSError) as error:
        raise EndpointUnreachable(
            distrust(error)
            or f"{base_url} cannot be reached: {error or type(error).__name__}. Check the "
            "network, and a proxy if there is one (HTTPS_PROXY)"
        ) from error
    return f"{base_url} answers {response.status_code} over {response.http_version}"


async def one_second(engine: Engine, request: RequestOptions) -> float:
    """Send one second of silence, which is paid for; the latency in seconds."""

    async def record(_: Post) -> None:
        return

    upload = Upload("check.wav", "audio/wav", "wav", 1.0, len(_SECOND), data=_SECOND)
    answer = await engine.transcribe(upload, request, record)
    return answer.post.latency_s


def _silence() -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(32_000))
    return target.getvalue()


_SECOND = _silence()

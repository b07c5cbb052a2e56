from __future__ import annotations

import asyncio
import io
import ssl
from typing import Any

import httpx

from sttbatch.external.cloudru.network_streams import COALESCE_BYTES, coalesce
from tests.cloudru import CloudRu

UPLOAD_BYTES = 1_000_000


def test_an_upload_goes_out_in_few_pieces_and_whole(cloudru: CloudRu) -> None:
    written: list[int] = []

    async def note(event: str, info: dict[str, Any]) -> None:
        if event == "connection.start_tls.complete":
            stream = info["return_value"]
            inner = stream._stream
            write = inner.write

            async def counted(data: bytes, timeout_s: float | None = None) -> None:
                written.append(len(data))
                await write(data, timeout_s)

            inner.write = counted

    async def post() -> httpx.Response:
        context = ssl.create_default_context(cafile=str(cloudru.ca_file))
        context.set_alpn_protocols(["h2", "http/1.1"])
        async with httpx.AsyncClient(http2=True, verify=context) as client:
            coalesce(client)
            return await client.post(
                cloudru.base_url + "/audio/transcriptions",
                headers={"Authorization": f"Bearer {cloudru.key}"},
                files={"file": ("a.mp3", io.BytesIO(bytes(UPLOAD_BYTES)))},
                extensions={"trace": note},
            )

    answer = asyncio.run(post())
    assert answer.http_version == "HTTP/2"
    assert cloudru.received[0].body_bytes > UPLOAD_BYTES
    assert len(written) < 3 * UPLOAD_BYTES / COALESCE_BYTES

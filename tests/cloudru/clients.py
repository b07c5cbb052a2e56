"""A plain httpx client of the endpoint, for its own tests."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import httpx

from .alphabet import Heard, HeardWord
from .server import CloudRu

SMALL = b"x" * 1000
LARGE = b"x" * 8 * 1024 * 1024  # far above an h2 stream's window


def hears_two(_: bytes) -> Heard:
    """A recogniser that takes any bytes for a second of speech."""
    return Heard((HeardWord("0000", 0.1, 0.4), HeardWord("0001", 0.5, 0.9)), 1.0)


@contextmanager
def client(
    endpoint: CloudRu, http2: bool = True, answer_within_s: float = 60
) -> Iterator[httpx.Client]:
    trust = ssl.create_default_context(cafile=str(endpoint.ca_file))
    key = {"Authorization": f"Bearer {endpoint.key}"}
    timeout = httpx.Timeout(60, read=answer_within_s)
    with httpx.Client(
        base_url=endpoint.base_url, http2=http2, verify=trust, headers=key, timeout=timeout
    ) as running:
        yield running


def post(
    sender: httpx.Client, file: bytes = SMALL, headers: dict[str, str] | None = None, **fields: Any
) -> httpx.Response:
    return sender.post(
        "audio/transcriptions",
        data={"model": "openai/whisper-large-v3"} | fields,
        files={"file": ("talk.mp3", BytesIO(file), "audio/mpeg")},
        headers=headers,
    )


# What httpx raises when a connection breaks: which of them is a matter of when.
LOST = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)

"""Cache keys: tagged SHA-256 over everything that decides an answer, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from sttbatch.core.options import RequestOptions

KEY_VERSION = 1


class ContentAddresser:
    """Keys for one set of request options."""

    def __init__(self, options: RequestOptions) -> None:
        self._request = dataclasses.asdict(options)

    @property
    def request_sha256(self) -> str:
        """Stands for the request options alone."""
        return _digest("request", self._request)

    def chunk_key(self, audio_sha256: str) -> str:
        """One chunk's key.

        `audio_sha256` covers codec parameters, extradata and source packets, so the shape the
        chunk travels in, and where the recording lies, do not matter.
        """
        return "chunk:" + _digest("chunk", {"audio": audio_sha256, **self._request})

    def transcript_key(self, file_sha256: str, stream: int, merge_version: int) -> str:
        """A whole recording's; a newer merger makes a new transcript from the same chunks."""
        facts = {"file": file_sha256, "stream": stream, "merge": merge_version, **self._request}
        return "transcript:" + _digest("transcript", facts)


def _digest(tag: str, facts: dict[str, object]) -> str:
    canonical = json.dumps(
        {"tag": tag, "version": KEY_VERSION, **facts}, sort_keys=True, ensure_ascii=False
    )
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()

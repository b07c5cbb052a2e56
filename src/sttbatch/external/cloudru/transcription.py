"""CloudRuTranscription: the engine that sends chunks to an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from sttbatch.core.engine import Answer, RecordRequest
from sttbatch.core.errors import ChunkTooLarge
from sttbatch.core.models import Transcription, Upload
from sttbatch.core.options import API_BODY_LIMIT_BYTES, RequestOptions
from sttbatch.external.cloudru.answer_reading import max_answer_bytes, understand
from sttbatch.external.cloudru.endpoint import Endpoint
from sttbatch.external.cloudru.format_choice import FormatChoice
from sttbatch.external.cloudru.http_attempt import HttpAnswer, unreadable
from sttbatch.external.cloudru.retry_policy import RetryDecision

MULTIPART_FRAME_BYTES = 16 * 1024
PIECE_WITHOUT_TIMES_S = 30.0

# The best first, with its granularities.
FORMATS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("verbose_json", ("word", "segment")),
    ("verbose_json", ()),
    ("json", ()),
)


class CloudRuTranscription:
    """An `Engine` over HTTP; a warning tells when a response format is given up."""

    longest_s = None

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        names = [f"{name} with word times" if times else name for name, times in FORMATS]
        self._formats = FormatChoice(names, endpoint.warn)

    @property
    def timestamps(self) -> bool:
        return _has_times(self._formats.index)

    def prepare(self) -> None:
        """Nothing takes long enough."""

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        overhead = MULTIPART_FRAME_BYTES + len((options.prompt or "").encode())
        if upload.size_bytes + overhead > API_BODY_LIMIT_BYTES:
            raise ChunkTooLarge(f"its {upload.size_bytes:,} bytes exceed the endpoint's limit")
        asked = _TranscriptionRequest(upload, options, self._formats)
        answer = await self._endpoint.send(asked, record, stopped)
        return Answer(answer.result, answer.request, FORMATS[answer.format_index][0])


class _TranscriptionRequest(Struct, frozen=True):
    """The `EndpointRequest` of a chunk."""

    upload: Upload
    options: RequestOptions
    formats: FormatChoice
    path: str = "/audio/transcriptions"
    chosen_by: str = "--model or STTBATCH_MODEL"

    @property
    def model(self) -> str:
        return self.options.model

    @property
    def audio_s(self) -> float:
        return self.upload.duration_s

    @property
    def work_s(self) -> float:
        # Recognisers that are slower than speech are of no use.
        return self.upload.duration_s

    @property
    def max_bytes(self) -> int:
        return max_answer_bytes(self.upload.duration_s)

    def check(self, format_index: int) -> None:
        if not _has_times(format_index) and self.upload.duration_s > PIECE_WITHOUT_TIMES_S:
            raise ChunkTooLarge(
                "its answer would have no timestamps", max_piece_s=PIECE_WITHOUT_TIMES_S
            )

    @contextlib.contextmanager
    def content(self, format_index: int) -> Iterator[Mapping[str, Any]]:
        name, granularities = FORMATS[format_index]
        fields = {
            "model": self.options.model,
            "response_format": name,
            "timestamp_granularities[]": list(granularities) or None,
            "language": self.options.language,
            "prompt": self.options.prompt,
            "temperature": self.options.temperature,
        }
        try:
            audio = self.upload.open()
        except OSError as error:
            raise unreadable(error) from error
        # A file object, as httpx slices bytes in quadratic time.
        with audio:
            yield {
                "data": {name: value for name, value in fields.items() if value is not None},
                "files": {"file": (self.upload.filename, audio, self.upload.content_type)},
            }

    def understand(
        self, answer: HttpAnswer, mask: Callable[[str], str]
    ) -> Transcription | RetryDecision:
        return understand(answer, self.upload.duration_s, mask)


def _has_times(format_index: int) -> bool:
    return FORMATS[format_index][0] != "json"

"""What a task would ask, without asking."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from sttbatch.core import events
from sttbatch.core.errors import RecordingError
from sttbatch.core.language_models import TokenCount
from sttbatch.core.models import Segment, Transcript
from sttbatch.kinds.language.pipeline import LanguagePipeline
from sttbatch.kinds.language.spoken_text import SpokenText
from sttbatch.kinds.language.token_estimates import expected_tokens
from sttbatch.kinds.report import Forecast
from sttbatch.kinds.transcription.up_to_date import report_skipped
from sttbatch.processing.discovery import Candidate, Discovery

_SEGMENT_S = 5.0
_TYPICAL_SENTENCE = "It is said that people speak about fifteen characters a second here."
"""An hour of it is 15,000 to 20,000 tokens, as of speech."""


class TextForecast(Struct, frozen=True):
    """What a recording would need.

    Attributes:
        questions: that are not answered yet.
        tokens: of these, and of their answers.
        transcription: of a recording that has no transcript yet, so that the rest is guessed.
    """

    display_path: str
    audio_s: float
    questions: int
    tokens: TokenCount
    cost: float
    transcription: Forecast | None = None


class LanguageForecast(Struct, frozen=True):
    """What a batch would need.

    Attributes:
        missing: recordings without a transcript.
        earlier: whether it is estimated from earlier questions, or else by the texts alone.
        is_priced: whether the model's price is known.
    """

    recordings: tuple[TextForecast, ...]
    missing: tuple[Candidate, ...]
    earlier: bool
    is_priced: bool = True


async def forecast(pipeline: LanguagePipeline[Any], discovery: Discovery) -> LanguageForecast:
    """Estimate what `LanguagePipeline.run` would ask; unreadable recordings are reported."""
    found = await pipeline.transcripts.find(discovery)
    await report_skipped(discovery, pipeline.completion.outputs.registry, pipeline.control.emit)
    for display_path, reason in [*discovery.failures, *found.failures]:
        pipeline.control.emit(events.JobFailed(display_path, 0.0, reason))
    recordings = []
    contents: set[str] = set()
    for stored in found.texts:
        if stored.sha256 in contents:
            continue
        contents.add(stored.sha256)
        try:
            text = await pipeline.transcripts.read(stored)
        except RecordingError as error:
            pipeline.control.emit(events.JobFailed(stored.candidate.display_path, 0.0, str(error)))
            continue
        recordings.append(await _forecast_of(pipeline, stored.candidate.display_path, text))
    earlier = pipeline.earlier is not None and pipeline.earlier.sent_bytes > 0
    return LanguageForecast(
        tuple(recordings), tuple(each.candidate for each in found.missing), earlier
    )


def with_transcription(pipeline: LanguagePipeline[Any], transcription: Forecast) -> TextForecast:
    """What a recording would need that has to be transcribed first."""
    audio_s = transcription.audio_s
    count = int(audio_s / _SEGMENT_S)
    segments = tuple(
        Segment(_TYPICAL_SENTENCE, number * _SEGMENT_S, (number + 1) * _SEGMENT_S)
        for number in range(count)
    )
    expected = pipeline.task.expected(SpokenText("", Transcript(audio_s, None, segments, ())))
    tokens = expected_tokens(expected, pipeline.earlier)
    cost = pipeline.asker.prices.cost(tokens) + transcription.cost
    return TextForecast(
        transcription.display_path, audio_s, len(expected), tokens, cost, transcription
    )


async def _forecast_of(
    pipeline: LanguagePipeline[Any], display_path: str, text: SpokenText
) -> TextForecast:
    audio_s = text.transcript.duration_s
    cache, is_forced = pipeline.asker.pay_once.cache, pipeline.config.force
    if not is_forced and await cache.get(pipeline.key(text)) is not None:
        return TextForecast(display_path, audio_s, 0, TokenCount(), 0.0)
    expected = [
        each
        for each in pipeline.task.expected(text)
        if is_forced or await cache.get(pipeline.asker.key(each.question)) is None
    ]
    tokens = expected_tokens(expected, pipeline.earlier)
    cost = pipeline.asker.prices.cost(tokens)
    return TextForecast(display_path, audio_s, len(expected), tokens, cost)

"""Puts what tools wrote into the order of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import itemgetter

from msgspec.structs import replace

from sttbatch.core.models import ChunkSpan, CutPoint, Transcript, Transcription
from sttbatch.external.cloudru.json_values import finite_number, storable
from sttbatch.external.cloudru.response_parsing import timed_segments
from sttbatch.external.cloudru.whole_words import Part
from sttbatch.kinds.importing.forms import Time
from sttbatch.kinds.indexing.words import Language
from sttbatch.outputs.unicode_text import plain
from sttbatch.processing.transcript.timestamps import TimestampAdjuster

_LATEST_S = 1e7
_SPEAKER_CHARACTERS = 100
_NOT_IN_SPEAKERS = str.maketrans("", "", "<>")
_UNKNOWN_SPEAKER = "?"


def timed_transcript(
    parts: Sequence[tuple[Part, str | int | None]],
    language: str | None,
    duration_s: float | None = None,
) -> Transcript:
    """The transcript, in the order of time; what has no time lies between its neighbours."""
    ordered: list[tuple[float, Part, str | None]] = []
    at_s = 0.0
    for part, speaker in parts:
        if part.is_blank:
            continue
        at_s = at_s if part.start_s is None else part.start_s
        ordered.append((at_s, part, _speaker(speaker)))
    ordered.sort(key=itemgetter(0))
    spoken = [part for _, part, _ in ordered]
    ends_s = [
        time_s
        for segment in spoken
        for part in (segment, *segment.words)
        for time_s in (part.start_s, part.end_s)
        if time_s is not None
    ]
    end_s = max([duration_s or 0.0, *ends_s])
    segments = tuple(
        replace(segment, speaker=speaker)
        for segment, (_, _, speaker) in zip(timed_segments(spoken, end_s), ordered, strict=True)
    )
    # Its times are the recording's own; what is wanted is that none goes back.
    whole = ChunkSpan(0, CutPoint(0), CutPoint(0), 0.0, end_s, ((0.0, 0.0),))
    segments = TimestampAdjuster().adjust(whole, Transcription("", segments))
    return Transcript(end_s, Language(language).code or None, segments, ())


def seconds(value: Time) -> float | None:
    """A time that can be one, at least 0; None: there is none."""
    number = finite_number(value)
    if number is None or not math.isfinite(number) or number > _LATEST_S:
        return None
    return max(0.0, number)


def _speaker(value: str | int | None) -> str | None:
    name = plain(storable("" if value is None else str(value)).translate(_NOT_IN_SPEAKERS))
    return None if name in {"", _UNKNOWN_SPEAKER} else name[:_SPEAKER_CHARACTERS]

"""Conversion of times in an upload to times in its recording."""

from __future__ import annotations

import sys
from bisect import bisect_right
from dataclasses import replace
from operator import itemgetter

from sttbatch.core.models import ChunkSpan, Segment, Transcription, Word


class TimestampAdjuster:
    """Converts between the time of a chunk's upload and that of its recording."""

    def adjust(self, span: ChunkSpan, transcription: Transcription) -> tuple[Segment, ...]:
        """Convert segments to the recording's time, in order, none ending before it starts.

        What lies outside of the span (overlap, frames for the decoder to settle) is included: the
        merger decides which neighbour it belongs to.
        """
        segments = sorted(transcription.segments, key=lambda segment: segment.start_s)
        return tuple(_moved(segment, span) for segment in segments)

    def recording_s(self, span: ChunkSpan, upload_s: float) -> float:
        """Convert a second of the upload to one of the recording, clamped to the span."""
        return min(max(_recording_s(span, upload_s), span.start_s), span.end_s)

    def own_part(self, span: ChunkSpan) -> tuple[float, float]:
        """The first and the last second of the span in the upload."""
        first, last = span.time_map[0], span.time_map[-1]
        start_s = max(0.0, first[0] + span.start_s - first[1])
        return start_s, max(start_s, last[0] + span.end_s - last[1])


def _recording_s(span: ChunkSpan, upload_s: float) -> float:
    index = max(0, bisect_right(span.time_map, upload_s, key=itemgetter(0)) - 1)
    at_s, recording_s = span.time_map[index]
    return recording_s + upload_s - at_s


def _moved(segment: Segment, span: ChunkSpan) -> Segment:
    def moved(upload_s: float) -> float:
        return max(0.0, _recording_s(span, upload_s))

    start_s = moved(segment.start_s)
    words = []
    at_s = start_s
    for word in segment.words:
        # Recognisers let words overlap or run backwards by a few hundredths.
        word_start_s = max(at_s, moved(word.start_s))
        end_s = max(word_start_s, moved(word.end_s))
        # Of a hundred thousand words a tenth are distinct.
        words.append(Word(sys.intern(word.text), word_start_s, end_s))
        at_s = word_start_s
    return replace(
        segment,
        start_s=start_s,
        end_s=max(start_s, moved(segment.end_s), words[-1].end_s if words else start_s),
        words=tuple(words),
    )

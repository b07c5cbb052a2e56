"""TimestampAdjuster: converts between the time of a chunk's upload and that of its recording."""

from __future__ import annotations

import sys
from bisect import bisect_right
from itertools import pairwise
from operator import itemgetter

from msgspec.structs import replace

from sttbatch.core.models import ChunkSpan, Segment, Transcription, Word
from sttbatch.processing.media.loudness import Span


class TimestampAdjuster:
    """Converts between the time of a chunk's upload and that of its recording."""

    def adjust(self, span: ChunkSpan, transcription: Transcription) -> tuple[Segment, ...]:
        """Convert segments to the recording's time, in order.

        Words outside of the span (overlap, preroll) are included; the merger decides about them.
        """
        segments = sorted(transcription.segments, key=lambda segment: segment.start_s)
        return tuple(_moved(segment, span) for segment in segments)

    def recording_s(self, span: ChunkSpan, upload_s: float) -> float:
        """Convert a second of the upload to one of the recording, clamped to the span."""
        return min(max(_recording_s(span, upload_s), span.start_s), span.end_s)

    def recording_spans(self, span: ChunkSpan, part: Span) -> list[Span]:
        """Convert a part of the upload to the recording's time, split where timestamps jump."""
        jumps = [at_s for at_s, _ in span.time_map if part.start_s < at_s < part.end_s]
        return [
            Span(_recording_s(span, start_s), _recording_s(span, start_s) + end_s - start_s)
            for start_s, end_s in pairwise([part.start_s, *jumps, part.end_s])
        ]

    def upload_span(self, span: ChunkSpan, part: Span) -> Span:
        """Convert a part of the recording, in which no timestamp jumps, to the upload's time."""
        return Span(_upload_s(span, part.start_s), _upload_s(span, part.end_s))

    def piece_span(self, span: ChunkSpan, piece: ChunkSpan) -> ChunkSpan:
        """Convert the span of a piece that was cut from the recording to the upload's time."""
        return replace(
            piece,
            start_s=_upload_s(span, piece.start_s),
            end_s=_upload_s(span, piece.end_s),
            time_map=tuple((at_s, _upload_s(span, then_s)) for at_s, then_s in piece.time_map),
        )

    def own_part(self, span: ChunkSpan) -> Span:
        """The seconds of the upload that belong to the span."""
        first, last = span.time_map[0], span.time_map[-1]
        start_s = max(0.0, first[0] + span.start_s - first[1])
        return Span(start_s, max(start_s, last[0] + span.end_s - last[1]))


def _recording_s(span: ChunkSpan, upload_s: float) -> float:
    index = max(0, bisect_right(span.time_map, upload_s, key=itemgetter(0)) - 1)
    at_s, recording_s = span.time_map[index]
    return recording_s + upload_s - at_s


def _upload_s(span: ChunkSpan, recording_s: float) -> float:
    index = max(0, bisect_right(span.time_map, recording_s, key=itemgetter(1)) - 1)
    at_s, first_s = span.time_map[index]
    return at_s + recording_s - first_s


def _moved(segment: Segment, span: ChunkSpan) -> Segment:
    def moved(upload_s: float) -> float:
        return max(0.0, _recording_s(span, upload_s))

    start_s = moved(segment.start_s)
    words = []
    at_s = end_s = start_s
    for word in segment.words:
        # Words of recognisers may overlap or go back by a few hundredths of a second.
        word_start_s = max(at_s, moved(word.start_s))
        if word_start_s == end_s:
            # Most words begin when the one before ends. They share the number, to save memory.
            word_start_s = end_s
        end_s = max(word_start_s, moved(word.end_s))
        # Interned, as a tenth of the words are distinct.
        words.append(Word(sys.intern(word.text), word_start_s, end_s))
        at_s = word_start_s
    return replace(
        segment,
        start_s=start_s,
        end_s=max(start_s, moved(segment.end_s), words[-1].end_s if words else start_s),
        words=tuple(words),
    )

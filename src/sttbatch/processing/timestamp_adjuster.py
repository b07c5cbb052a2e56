"""From an upload's time to the recording's."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace

from sttbatch.core.models import Segment, Stretch, Transcription, Word


class TimestampAdjuster:
    """Moves what was heard in an upload to where it was said in the recording."""

    def adjust(self, stretch: Stretch, heard: Transcription) -> tuple[Segment, ...]:
        """Segments in the recording's time, in order, none ending before it starts.

        What lies outside of the stretch (overlap, frames for the decoder to settle) is still
        there: which neighbour owns it is the merger's to decide.
        """
        uploads = [upload_s for upload_s, _ in stretch.anchors]

        def moved(at_s: float) -> float:
            index = max(0, bisect_right(uploads, at_s) - 1)
            upload_s, recording_s = stretch.anchors[index]
            return max(0.0, recording_s + at_s - upload_s)

        segments = sorted(heard.segments, key=lambda segment: segment.start_s)
        return tuple(_moved(segment, moved) for segment in segments)

    def recording_s(self, stretch: Stretch, upload_s: float) -> float:
        """Where a second of the upload lies in the recording, within the stretch."""
        at, second = stretch.anchors[0]
        for anchor in stretch.anchors:
            if anchor[0] <= upload_s:
                at, second = anchor
        return min(max(second + upload_s - at, stretch.start_s), stretch.end_s)

    def own_part(self, stretch: Stretch) -> tuple[float, float]:
        """From and to which second of the upload the stretch reaches."""
        first, last = stretch.anchors[0], stretch.anchors[-1]
        start_s = max(0.0, first[0] + stretch.start_s - first[1])
        return start_s, max(start_s, last[0] + stretch.end_s - last[1])


def _moved(segment: Segment, moved: Callable[[float], float]) -> Segment:
    start_s = moved(segment.start_s)
    words = []
    at_s = start_s
    for word in segment.words:
        # Recognisers let words overlap or run backwards by a few hundredths.
        word_start_s = max(at_s, moved(word.start_s))
        end_s = max(word_start_s, moved(word.end_s))
        # Of a hundred thousand words a tenth are different.
        words.append(Word(sys.intern(word.text), word_start_s, end_s))
        at_s = word_start_s
    return replace(
        segment,
        start_s=start_s,
        end_s=max(start_s, moved(segment.end_s), words[-1].end_s if words else start_s),
        words=tuple(words),
    )

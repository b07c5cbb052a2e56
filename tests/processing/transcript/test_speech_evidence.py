"""Which segments of an answer have no speech under them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.core.models import Evidence, Segment
from sttbatch.processing.media.loudness import Span, merge_spans, uncovered
from sttbatch.processing.transcript.speech_evidence import DRIFT_S, SPOKEN_S, dropped_segments

SPANS = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(
    lambda each: Span(each[0] / 4, (each[0] + each[1]) / 4)
)


def segment(span: Span) -> Segment:
    return Segment("Nobody knows.", *span, unlikely=True)


@settings(max_examples=300, deadline=None)
@given(st.lists(SPANS, max_size=8), st.lists(SPANS, max_size=5))
def test_speech_that_another_segment_stands_for_does_not_count(
    spans: list[Span], spoken: list[Span]
) -> None:
    speech = merge_spans(spoken)
    dropped = dropped_segments([segment(each) for each in spans], range(len(spans)), speech)
    for index, each in enumerate(spans):
        others = spans[:index] + spans[index + 1 :]
        near = Span(each.start_s - DRIFT_S, each.end_s + DRIFT_S)
        heard = [Span(max(one.start_s, near.start_s), min(one.end_s, near.end_s)) for one in speech]
        alone = [part for one in heard if one.duration_s > 0 for part in uncovered(others, one)]
        assert (index in dropped) == (sum(part.duration_s for part in alone) < SPOKEN_S)


@pytest.mark.parametrize("length_s", [300.0, 0.0, 1.0])
def test_segments_at_one_time_are_no_work(length_s: float) -> None:
    """A thousand of them took a minute and a half when each was compared with all others."""
    segments = [segment(Span(100.0, 100.0 + length_s))] * 13_000
    speech = [Span(3.0 * at, 3.0 * at + 1.0) for at in range(100)]
    began = time.process_time()
    dropped = dropped_segments(segments, range(len(segments)), speech)
    assert time.process_time() - began < 5.0
    assert all(Evidence.NO_SPEECH in each.evidence for each in dropped.values())

"""What already has its words is never cut again, and what lies between is, whole."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from msgspec.structs import replace

from sttbatch.core.models import AudioChunk, CutPoint, UploadCodec
from sttbatch.processing.transcript.result_merger import ResultMerger
from tests.processing.conftest import Record

from .cutting import assert_says, cut, outcomes, plan_for

CASES = [
    pytest.param("opus.webm", UploadCodec.COPY, {"sentence_pause_s": 0.1}, marks=pytest.mark.slow),
    pytest.param("cbr.mp3", UploadCodec.COPY, {"words_per_sentence": 2}, marks=pytest.mark.slow),
    ("flac.flac", UploadCodec.FLAC, {"sentence_pause_s": 0.1}),
    pytest.param("aac.m4a", UploadCodec.FLAC, {"words_per_sentence": 2}, marks=pytest.mark.slow),
]


def _kept(pieces: tuple[AudioChunk, ...]) -> tuple[tuple[CutPoint, CutPoint], ...]:
    return tuple((piece.span.start, piece.span.end) for piece in pieces)


@pytest.mark.parametrize(("name", "codec", "how"), CASES)
def test_every_subset_of_a_first_pass_can_be_kept(
    name: str, codec: UploadCodec, how: dict[str, int], record: Record
) -> None:
    """The second pass cuts otherwise, keeps each kept stretch as it is, and fills the rest."""
    path, truth = record(name, **how)
    plan = plan_for(4.0, declared_s=14.0, codec=codec)
    first = cut(path, plan).pieces
    heard = {piece.span: outcome for piece, outcome in zip(first, outcomes(first), strict=True)}
    assert len(first) >= 3
    for size in range(len(first) + 1):
        for kept in combinations(first, size):
            second = cut(path, replace(plan, target_s=2.6, kept=_kept(kept)))
            assert second.counted_s == pytest.approx(14.0, abs=0.1)
            together = [heard[piece.span] for piece in kept] + outcomes(second.pieces)
            assert_says(ResultMerger().merge(together, 14.0), truth)
            spans = sorted((o.span.start.pts, o.span.end.pts) for o in together)
            assert all(before[1] == after[0] for before, after in pairwise(spans))
            assert spans[0][0] == first[0].span.start.pts


def test_an_empty_gap_between_stored_spans_yields_nothing(record: Record) -> None:
    path, _ = record("cbr.mp3", words_per_sentence=2)
    plan = plan_for(4.0, declared_s=14.0)
    first = cut(path, plan).pieces
    again = cut(path, replace(plan, kept=_kept(first)))
    assert again.pieces == ()
    assert again.counted_s == pytest.approx(14.0, abs=0.1)


def test_a_kept_end_is_not_cut_again_when_it_is_near(record: Record) -> None:
    """Reading the overlap before a short kept end reaches the end of the file."""
    path, _ = record("pcm.wav", sentence_pause_s=0.1)
    plan = plan_for(4.0, declared_s=14.0, codec=UploadCodec.FLAC)
    last = cut(path, plan).pieces[-1].span.end
    kept = (CutPoint(last.pts - 22_050, overlap=True), last)
    pieces = cut(path, replace(plan, kept=(kept,))).pieces
    assert pieces[-1].span.end == kept[0]


def test_the_rest_of_a_first_pass_has_the_same_keys(record: Record) -> None:
    """A chunk that is cut again where it was cut before is found by its content."""
    path, _ = record("cbr.mp3", words_per_sentence=2)
    plan = plan_for(4.0, declared_s=14.0)
    first = cut(path, plan).pieces
    for at, piece in enumerate(first):
        others = _kept(first[:at] + first[at + 1 :])
        (again,) = cut(path, replace(plan, kept=others)).pieces
        assert again.audio_sha256 == piece.audio_sha256
        assert again.upload.data == piece.upload.data

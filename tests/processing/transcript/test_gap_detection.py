"""Which spans of an answer are suspect, and what is sent again."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.core.models import Segment, Transcription, UploadCodec, Word
from sttbatch.processing.media.loudness import (
    FRAME_S,
    LoudnessLevels,
    Span,
    find_sounds,
    is_quiet,
    merge_spans,
    sound_threshold,
    uncovered,
)
from sttbatch.processing.media.media_messages import Source
from sttbatch.processing.media.media_workers import MediaWorkers
from sttbatch.processing.transcript.gap_detection import (
    PIECE_S,
    LoudnessProfile,
    drop_duplicates,
    is_loop,
    retry_spans,
    suspect_spans,
)
from tests.processing.conftest import Record
from tests.processing.media.cutting import cut, plan_for

ROOM_DB, SPEECH_DB = 55, 25


def levels(*parts: tuple[float, int], start_s: float = 0.0) -> LoudnessLevels:
    """(seconds, dB below full scale) after one another."""
    frames = [bytes([below]) * round(length_s / FRAME_S) for length_s, below in parts]
    return LoudnessLevels(start_s, b"".join(frames))


def heard(*spans: tuple[float, float], text: str = "as many words as fit in here") -> Transcription:
    return Transcription("", tuple(Segment(text, *span) for span in spans))


def test_holes_are_spans_without_a_segment() -> None:
    found = suspect_spans(heard((2, 5), (4, 9), (10.4, 20)), Span(1.0, 22.0))
    assert found.holes == (Span(20, 22),)
    assert suspect_spans(heard(), Span(0, 1.4)).holes == ()
    assert suspect_spans(heard(), Span(0, 1.5)).holes == (Span(0, 1.5),)


def test_a_phrase_many_times_over_is_a_loop() -> None:
    assert is_loop("Thank you. " * 12)
    assert is_loop("и так далее, " * 10)
    assert is_loop("谢谢观看" * 12)
    assert not is_loop("no no no no")
    assert not is_loop(" ".join(f"{number:04x}" for number in range(300)))
    segments = heard((0, 5), *((5 + at, 6 + at) for at in range(20)), text="Thank you.")
    assert suspect_spans(segments, Span(0, 25)).looped == frozenset(range(21))


def test_the_work_on_a_loop_grows_with_its_length_and_no_faster() -> None:
    """Whatever a server answers: 100,000 words took minutes when every period was tried."""

    def calls(words: int) -> int:
        count = 0

        def note(_frame: object, _event: str, _argument: object) -> None:
            nonlocal count
            count += 1

        text = " ".join(str(number * number % 97) for number in range(words))
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            assert is_loop(text)
        finally:
            sys.setprofile(before)
        return count

    assert calls(32_000) < 4.5 * calls(8000)
    random = Random(1)
    hesitant = " ".join(random.choice(["no", "yes"]) for _ in range(100_000))
    assert not is_loop(hesitant)


def test_few_letters_over_a_long_span_may_be_text_over_silence() -> None:
    assert suspect_spans(heard((0, 9), text="Thank you."), Span(0, 9)).sparse == {0}
    assert suspect_spans(heard((0, 1), text="Yes."), Span(0, 1)).sparse == frozenset()


def test_sound_is_what_rises_above_the_noise_of_the_room() -> None:
    measured = levels((2, ROOM_DB), (3, SPEECH_DB), (0.04, ROOM_DB), (1, SPEECH_DB), (2, ROOM_DB))
    limit = sound_threshold(measured.attenuation_db)
    assert find_sounds(measured, limit) == [pytest.approx((2, 6.04))]
    click = levels((2, ROOM_DB), (0.1, 10), (2, ROOM_DB))
    assert find_sounds(click, limit) == []


@pytest.mark.parametrize("below", [120, 70, 50, 41])
def test_a_level_chunk_is_quiet_unless_it_is_loud(below: int) -> None:
    assert is_quiet(levels((60, below)).attenuation_db)
    assert not is_quiet(levels((30, below), (0.5, 20), (30, below)).attenuation_db)
    assert not is_quiet(levels((60, 30)).attenuation_db), "music and noise are sound"


def test_soft_speech_is_no_silence() -> None:
    assert not is_quiet(levels(*[(0.2, 75), (0.3, 52)] * 50).attenuation_db)


def test_pauses_and_breaths_are_not_asked_for() -> None:
    hole = Span(1, 6)
    measured = [levels((1, SPEECH_DB), (2, ROOM_DB), (0.4, 40), (2.6, ROOM_DB), (1, SPEECH_DB))]
    assert retry_spans([hole], LoudnessProfile(measured, [hole]), timed=False) == []


def test_a_lost_sentence_is_asked_for_with_silence_around_it() -> None:
    hole = Span(1, 9)
    measured = [levels((1, SPEECH_DB), (2, ROOM_DB), (4, SPEECH_DB), (2, ROOM_DB), (1, SPEECH_DB))]
    assert retry_spans([hole], LoudnessProfile(measured, [hole]), timed=True) == [
        pytest.approx((2.8, 7.2))
    ]


@settings(deadline=None)
@given(st.lists(st.floats(0.3, 40), min_size=1, max_size=8), st.floats(0.1, 1.5))
def test_pieces_are_short_apart_and_cover_every_sound(
    lengths_s: list[float], pause_s: float
) -> None:
    parts = [part for each in lengths_s for part in ((pause_s, ROOM_DB), (each, SPEECH_DB))]
    measured = levels((2, ROOM_DB), *parts, (2, ROOM_DB))
    hole = Span(0.5, measured.end_s - 0.5)
    listened = LoudnessProfile([measured], [hole])
    pieces = retry_spans([hole], listened, timed=False)
    assert all(piece.duration_s <= PIECE_S + 0.001 for piece in pieces)
    assert pieces == sorted(pieces)
    for sound in listened.wanted_in(hole):
        assert sum(part.duration_s for part in uncovered(pieces, sound)) < 0.01


def test_what_was_heard_before_is_not_taken_again() -> None:
    piece = heard((0.0, 1.0), (1.5, 4.0)).segments
    known = heard((-1.0, 0.9)).segments
    assert list(drop_duplicates(piece, Span(0.9, 4.0), known)) == [piece[1]]
    assert merge_spans([Span(3, 4), Span(1, 2), Span(1.5, 3)]) == [Span(1, 4)]


def spelled(*words: tuple[str, float, float]) -> tuple[Segment, ...]:
    timed = tuple(Word(*each) for each in words)
    text = " ".join(each.text for each in timed)
    return (Segment(text, timed[0].start_s, timed[-1].end_s, timed),)


@pytest.mark.parametrize("error_s", [-0.1, 0.0, 0.1])
def test_words_beside_known_ones_are_there_once(error_s: float) -> None:
    """Between "the end" and "then", of which the piece hears parts, at times off by 0.2 s."""
    known = [
        *spelled(("the", 4.3 + error_s, 4.6 + error_s), ("end", 4.6 + error_s, 4.9 + error_s)),
        *spelled(("Then", 7.0 + error_s, 7.3 + error_s)),
    ]
    said = [("End,", 4.6, 4.9), ("no", 4.9, 5.05), ("more", 5.2, 5.6), ("so", 6.85, 7.0)]
    piece = spelled(*((text, at - error_s, to - error_s) for text, at, to in said))
    rest = spelled(("then", 7.0 - error_s, 7.3 - error_s))
    found = drop_duplicates([*piece, *rest], Span(4.5, 7.4), known)
    assert [word.text for each in found for word in each.words] == ["no", "more", "so"]


@pytest.mark.parametrize(
    "name",
    [
        "pcm.wav",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("cbr.mp3", "aac.m4a", "opus.ogg")
        ),
    ],
)
def test_a_worker_measures_only_what_it_is_asked_for(
    record: Record, tmp_path: Path, name: str
) -> None:
    path, truth = record(name, 20.0, silences=((8.0, 4.0),))

    async def measured() -> tuple[LoudnessLevels, ...]:
        async with MediaWorkers(tmp_path, count=1) as workers:
            data = path.read_bytes()
            spans = (Span(2.0, 3.0), Span(7.0, 13.0))
            return (await workers.measure(Source(len(data), data=data), spans)).levels

    first, second = asyncio.run(measured())
    assert (first.start_s, first.end_s) == pytest.approx((2.0, 3.0), abs=0.1)
    assert (second.start_s, second.end_s) == pytest.approx((7.0, 13.0), abs=0.1)
    said = [Span(word.start_s, word.end_s) for word in truth]
    for sound in find_sounds(second, 40):
        # Encoders smear a few milliseconds around each word.
        assert sum(part.duration_s for part in uncovered(said, sound)) < 0.5
    (pause,) = uncovered(find_sounds(second, 40), Span(7.2, 12.8), 3.0)
    assert 3.5 < pause.duration_s < 5.2


@pytest.mark.parametrize("codec", [UploadCodec.COPY, UploadCodec.FLAC])
@pytest.mark.parametrize(
    "name",
    ["cbr.mp3", *(pytest.param(name, marks=pytest.mark.slow) for name in ("aac.m4a", "opus.ogg"))],
)
def test_a_span_that_is_cut_again_is_the_same(
    record: Record, name: str, codec: UploadCodec
) -> None:
    path, _ = record(name, 30.0)
    plan = plan_for(8.0, codec=codec)
    whole = cut(path, plan).pieces
    ends = [(piece.span.start, piece.span.end) for piece in whole]
    for chosen in range(len(whole)):
        kept = tuple(each for index, each in enumerate(ends) if index != chosen)
        again = type(plan)(plan.target_s, plan.max_bytes, codec, kept=kept, exact=(ends[chosen],))
        (piece,) = cut(path, again).pieces
        assert piece.audio_sha256 == whole[chosen].audio_sha256
        ((upload_s, second),) = piece.span.time_map
        ((upload_before_s, before),) = whole[chosen].span.time_map
        assert (upload_s, second) == pytest.approx((upload_before_s, before), abs=1e-4)

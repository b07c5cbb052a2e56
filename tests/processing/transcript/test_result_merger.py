"""The plain cases of a merge, and what is said of chunks that brought nothing."""

from __future__ import annotations

import re
import sys

import pytest

from sttbatch.core.models import (
    ChunkSpan,
    CutPoint,
    Gap,
    GapReason,
    Segment,
    Transcription,
    Word,
)
from sttbatch.processing.transcript.overlap import plain
from sttbatch.processing.transcript.result_merger import (
    ChunkOutcome,
    ResultMerger,
)
from sttbatch.processing.transcript.timestamps import TimestampAdjuster
from sttbatch.processing.transcript.words import reduced, spread


def span_of(
    start_s: float, end_s: float, *, index: int = 0, into: tuple[bool, bool] = (False, False)
) -> ChunkSpan:
    """With an upload that begins a second early where it was cut into sound."""
    return ChunkSpan(
        index,
        CutPoint(round(start_s * 100), into[0]),
        CutPoint(round(end_s * 100), into[1]),
        start_s,
        end_s,
        ((0.0, start_s - into[0]),),
    )


def segment(text: str, start_s: float, each_s: float = 0.5, *, timed: bool = True) -> Segment:
    parts = text.split()
    words = tuple(
        Word(part, start_s + at * each_s, start_s + (at + 1) * each_s)
        for at, part in enumerate(parts)
    )
    return Segment(text, start_s, start_s + len(parts) * each_s, words if timed else ())


def heard(where: ChunkSpan, *segments: Segment, language: str | None = None) -> ChunkOutcome:
    text = " ".join(each.text for each in segments)
    return ChunkOutcome(where, Transcription(text, segments, language))


def test_answers_in_any_order_become_one_transcript() -> None:
    late = heard(span_of(10, 20, index=7), segment("three four", 1.0), language="en")
    early = heard(span_of(0, 10), segment("one two", 1.0))
    transcript = ResultMerger().merge([late, early], 20.0)
    assert transcript.text == "one two three four"
    assert [each.start_s for each in transcript.segments] == [1.0, 11.0]
    assert transcript.segments[1].words[1] == Word("four", 11.5, 12.0)
    assert transcript.language == "en"
    assert [(chunk.index, chunk.start_s) for chunk in transcript.chunks] == [(0, 0), (1, 10)]
    assert transcript.is_complete


def test_holes_are_named() -> None:
    outcomes = [
        heard(span_of(0, 10), segment("one", 1.0)),
        ChunkOutcome(span_of(10, 20), None, gap=GapReason.NO_SPEECH),
        ChunkOutcome(span_of(20, 30), None, gap=GapReason.STILL_MISSING, detail="503"),
    ]
    transcript = ResultMerger().merge(outcomes, 30.0)
    assert transcript.gaps == (
        Gap(10, 20, GapReason.NO_SPEECH),
        Gap(20, 30, GapReason.STILL_MISSING, "503"),
    )
    assert [chunk.status for chunk in transcript.chunks] == ["ok", "no_speech", "failed"]
    assert not transcript.is_complete


def test_what_the_overlap_heard_survives_a_neighbour_that_failed() -> None:
    first = heard(span_of(0, 10, into=(False, True)), segment("one two", 9.0, 0.8))
    failed = ChunkOutcome(
        span_of(10, 20, into=(True, True)), None, gap=GapReason.STILL_MISSING, detail="x"
    )
    last = heard(span_of(20, 30, into=(True, False)), segment("five six", 0.6, 0.6))
    transcript = ResultMerger().merge([first, failed, last], 30.0)
    assert transcript.text == "one two five six"


def test_nothing_heard_on_one_side_of_an_overlap() -> None:
    first = heard(span_of(0, 10, into=(False, True)))
    second = heard(span_of(10, 20, into=(True, False)), segment("two", 2.0))
    assert ResultMerger().merge([first, second], 20.0).text == "two"
    assert ResultMerger().merge([], 0.0).segments == ()


@pytest.mark.parametrize("timed", [True, False])
def test_a_word_on_the_cut_is_there_once(timed: bool) -> None:
    """Each side places it on the other's, or on its own: either way it stays, once."""
    for shift_s in (-0.1, 0.0, 0.1):
        left = heard(
            span_of(0, 10, into=(False, True)),
            segment("a b c d", 8.75 - shift_s, timed=timed),
        )
        right = heard(
            span_of(10, 20, into=(True, False)), segment("b C. d e", 0.25 + shift_s, timed=timed)
        )
        text = ResultMerger().merge([left, right], 20.0).text
        assert plain(text) == "abcde"


def test_what_was_heard_before_a_cut_in_silence_is_the_predecessors() -> None:
    """Frames that settle the decoder hold the end of a word that is already there."""
    second = ChunkSpan(1, CutPoint(1000), CutPoint(2000), 10.0, 20.0, ((0.0, 9.7),))
    outcomes = [
        heard(span_of(0, 10), segment("one two", 8.7)),
        heard(second, segment("o", 0.0, 0.1), segment("three", 0.5)),
    ]
    assert ResultMerger().merge(outcomes, 20.0).text == "one two three"


@pytest.mark.parametrize("into", [False, True])
@pytest.mark.parametrize("timed", [True, False])
def test_words_without_a_length_are_kept_at_every_chunk(timed: bool, into: bool) -> None:
    """Recognisers give 0 and 0 for what they cannot time; the frames before a cut come before."""
    words = (Word("Not", 0, 0), Word("guilty", 0, 0), Word("your", 3, 3.5), Word("honour", 4, 5))
    first = Segment("Not guilty,", 0, 0, words[:2] if timed else ())
    last = Segment("your honour.", 3, 5, words[2:] if timed else ())
    second = ChunkSpan(1, CutPoint(1000, into), CutPoint(2000), 10, 20, ((0.0, 9.7 - into),))
    for predecessor in (
        heard(span_of(0, 10, into=(False, into)), segment("one", 2.0)),
        ChunkOutcome(span_of(0, 10, into=(False, into)), None, gap=GapReason.STILL_MISSING),
    ):
        merged = ResultMerger().merge([predecessor, heard(second, first, last)], 20.0)
        assert merged.text.removeprefix("one ") == "Not guilty, your honour."
    (start, _) = ResultMerger().merge([heard(span_of(0, 10), first, last)], 10.0).segments
    assert start.text == "Not guilty,"


def test_where_the_predecessor_has_no_words_none_are_left_to_it() -> None:
    second = ChunkSpan(1, CutPoint(1000), CutPoint(2000), 10.0, 20.0, ((0.0, 9.7),))
    early = heard(second, segment("ed", 0.0, 0.2), segment("three", 0.5))
    failed = ChunkOutcome(span_of(0, 10), None, gap=GapReason.STILL_MISSING, detail="503")
    assert ResultMerger().merge([failed, early], 20.0).text == "ed three"


def test_punctuation_around_a_cut_is_the_texts_where_words_come_bare() -> None:
    def said(text: str, start_s: float) -> Segment:
        bare = re.findall(r"\w+", text)
        words = [
            Word(each, start_s + at / 2, start_s + at / 2 + 0.4) for at, each in enumerate(bare)
        ]
        return Segment(text, start_s, words[-1].end_s, tuple(words))

    left = heard(span_of(0, 10, into=(False, True)), said("Well, he said: “No, never!” Th", 7.5))
    right = heard(span_of(10, 20, into=(True, False)), said("“No, never!”, then left.", 0.0))
    merged = ResultMerger().merge([left, right], 20.0)
    assert merged.text == "Well, he said: “No, never!” then left."
    words = [word.text for each in merged.segments for word in each.words]
    assert words == ["Well", "he", "said", "No", "never", "then", "left"]


@pytest.mark.parametrize(
    ("text", "words", "kept", "expected"),
    [
        ("It's 25 %, isn't it?", ["It's", "twenty", "five", "percent", "isn't", "it"], [4, 5],
         "isn't it?"),
        ("It's 25 %, isn't it?", ["It's", "twenty", "five", "percent", "isn't", "it"], [0, 1, 2],
         "It's 25 %,"),
        ("a well-known, “odd” case", ["a", "well", "known", "odd", "case"], [2, 3], "known, “odd”"),
        ("one two three", ["one", "two", "three"], [0, 2], "one three"),
        ("你好。世界很大", ["你", "好", "世界", "很", "大"], [1, 2], "好。世界"),
        ("", ["lost", "text"], [1], "text"),
        ("said", ["said", "more"], [1], "more"),
    ],
)  # fmt: skip
def test_a_part_of_a_segment_has_its_part_of_the_text(
    text: str, words: list[str], kept: list[int], expected: str
) -> None:
    timed = tuple(Word(each, at, at + 1) for at, each in enumerate(words))
    part = reduced(Segment(text, 0, len(words), timed), kept)
    assert part.text == expected
    assert part.words == tuple(timed[at] for at in kept)
    assert (part.start_s, part.end_s) == (kept[0], kept[-1] + 1)


def test_writing_without_spaces_is_joined_without_spaces() -> None:
    left = heard(span_of(0, 10, into=(False, True)), Segment("今天天气很好", 8.6, 11.0))
    right = heard(span_of(10, 20, into=(True, False)), Segment("气很好我们走", 0.8, 3.2))
    merged = ResultMerger().merge([left, right], 20.0)
    assert merged.text == "今天天气很好我们走"


def test_times_never_run_backwards() -> None:
    odd = (Word("a", 1.0, 2.0), Word("b", 0.9, 0.8), Word("c", 3.0, 3.0))
    (adjusted,) = TimestampAdjuster().adjust(
        span_of(10, 20), Transcription("a b c", (Segment("a b c", 1.0, 0.5, odd),))
    )
    starts = [word.start_s for word in adjusted.words]
    assert starts == sorted(starts)
    assert all(word.end_s >= word.start_s for word in adjusted.words)
    assert adjusted.end_s >= adjusted.words[-1].end_s


def test_times_count_from_the_last_pair() -> None:
    where = ChunkSpan(0, CutPoint(0), CutPoint(1), 0.0, 100.0, ((-0.5, 0.0), (10.0, 60.0)))
    segments = (Segment("a", 0.0, 1.0), Segment("b", 10.5, 11.0))
    adjusted = TimestampAdjuster().adjust(where, Transcription("a b", segments))
    assert [(each.start_s, each.end_s) for each in adjusted] == [(0.5, 1.5), (60.5, 61.0)]


def test_what_one_chunk_heard_before_the_cut_stays_where_the_other_had_stopped() -> None:
    """Long segments without word times: a few characters are alike by chance."""
    left = heard(span_of(0, 10, into=(False, True)), Segment("สวัสดีครับวันนี้เราจะพูด", 1.0, 8.0))
    right = heard(span_of(10, 20, into=(True, False)), Segment("เรื่องประวัติศาสตร์ของไทย", 0.0, 6.0))
    merged = ResultMerger().merge([left, right], 20.0)
    assert merged.text == "สวัสดีครับวันนี้เราจะพูด เรื่องประวัติศาสตร์ของไทย"


def test_words_are_spread_by_their_length() -> None:
    words = spread("a bbb", 10.0, 16.0)
    assert [(word.text, word.start_s, word.end_s) for word in words] == [
        ("a", 10.0, 12.0),
        ("bbb", 12.0, 16.0),
    ]
    assert spread("", 0.0, 1.0) == ()
    assert [word.text for word in spread("你👩好。ok? — 世", 0.0, 1.0)] == ["你", "好", "ok?", "世"]
    assert [word.text for word in spread("ที่นี่", 0.0, 1.0)] == ["ที่", "นี่"]
    assert [word.text for word in spread("— ♪", 0.0, 1.0)] == ["—"]


def hours_of_speech(hours: int) -> list[ChunkOutcome]:
    return [
        heard(
            span_of(at, at + 300, index=at // 300, into=(at > 0, True)),
            *(segment(f"w{at}a{k} b{k} c{k}", 2.0 + 3 * k, 0.8) for k in range(99)),
        )
        for at in range(0, 3600 * hours, 300)
    ]


def calls_to_merge(outcomes: list[ChunkOutcome]) -> int:
    """Of functions: what a clock says depends on who else is at work."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        transcript = ResultMerger().merge(outcomes, 300.0 * len(outcomes))
    finally:
        sys.setprofile(before)
    assert len(transcript.segments) == 99 * len(outcomes)
    return calls


def test_work_at_a_join_does_not_grow_with_what_came_before_it() -> None:
    assert calls_to_merge(hours_of_speech(8)) < 4.5 * calls_to_merge(hours_of_speech(2))

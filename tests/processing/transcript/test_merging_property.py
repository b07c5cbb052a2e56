"""Whatever a recogniser does at the edges of chunks, joined chunks say every word once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sttbatch.core.models import ChunkSpan, CutPoint, Segment, Transcription, Word
from sttbatch.processing.media.splitter import OVERLAP_S
from sttbatch.processing.transcript.result_merger import ChunkOutcome, ResultMerger
from sttbatch.processing.transcript.words import spread

PREROLL_S = 0.3
EDGE_S = 0.45
"""What lies this near to an upload's edge may be misheard, though it was said in full."""

MISHEARD = ("uh", "no")
UNHEARD_S = 0.1
"""A shorter piece of a word is no sound that anybody would write down."""

JITTER_S = 0.1
SAME_AGAIN_S = 0.45
"""Repetitions closer than two errors in each of two times cannot be told apart by anybody."""


@dataclass(frozen=True)
class Speech:
    """What was said and where it was cut: (second, whether into sound)."""

    words: tuple[Word, ...]
    cuts: tuple[tuple[float, bool], ...]
    duration_s: float


@dataclass
class Slips:
    """What goes wrong within uploads: a `share` of all words is dropped or altered (w1 to x1)."""

    share: float
    dropped: set[str] = field(default_factory=set)


def speech(random: Random, said: int, vocabulary: Sequence[str]) -> Speech:
    """Words, and cuts 5 s apart or more: into a pause of 0.3 s at least, or anywhere."""
    words: list[Word] = []
    cuts: list[tuple[float, bool]] = []
    end_s = last_cut_s = 0.0
    for index in range(said):
        gap_s = random.choice([0.05, 0.08, 0.12, 0.2, 0.35, 0.8])
        length_s = random.choice([0.15, 0.25, 0.4, 0.6])
        text = random.choice(vocabulary) if vocabulary else f"w{index}"
        if words and words[-1].text == text:
            before_s = words[-1].end_s - words[-1].start_s
            gap_s = max(gap_s, SAME_AGAIN_S - (length_s + before_s) / 2)
        start_s = end_s + gap_s
        if end_s > last_cut_s + 5 and random.random() < 0.5:
            in_pause = max(end_s + gap_s / 2, min(end_s + PREROLL_S, start_s - 0.08))
            anywhere = random.uniform(end_s, start_s + length_s)
            cuts.append((in_pause, False) if gap_s >= 0.3 else (anywhere, True))
            last_cut_s = cuts[-1][0]
        end_s = start_s + length_s
        words.append(Word(text, start_s, end_s))
    return Speech(tuple(words), tuple(cuts), end_s + 0.5)


def outcomes(
    random: Random, spoken: Speech, *, timed: bool, slips: Slips | None = None
) -> list[ChunkOutcome]:
    """What a recogniser that errs at edges and in times hears of each chunk."""
    cuts = [(0.0, False), *spoken.cuts, (spoken.duration_s, False)]
    found = []
    for index, ((start_s, into_start), (end_s, into_end)) in enumerate(pairwise(cuts)):
        lead_s = (PREROLL_S if index else 0.0) + (OVERLAP_S / 2 if into_start else 0.0)
        from_s = start_s - lead_s
        to_s = end_s + (OVERLAP_S / 2 if into_end else 0.0)
        heard = _heard(random, spoken.words, (from_s, to_s), (into_start, into_end), slips)
        segments = _segments(random, heard, timed=timed)
        span = ChunkSpan(
            index,
            CutPoint(round(start_s * 1000), into_start),
            CutPoint(round(end_s * 1000), into_end),
            start_s,
            end_s,
            ((0.0, from_s),),
        )
        text = " ".join(segment.text for segment in segments)
        found.append(ChunkOutcome(span, Transcription(text, segments)))
    return found


def _heard(
    random: Random,
    words: Sequence[Word],
    span_s: tuple[float, float],
    into: tuple[bool, bool],
    slips: Slips | None,
) -> list[Word]:
    from_s, to_s = span_s
    heard: list[Word] = []
    for word in words:
        if word.end_s <= from_s + UNHEARD_S or word.start_s >= to_s - UNHEARD_S:
            continue
        at_start = word.start_s < from_s + (EDGE_S if into[0] else 0.0)
        at_end = word.end_s > to_s - (EDGE_S if into[1] else 0.0)
        text = random.choice([word.text, "", *MISHEARD]) if at_start or at_end else word.text
        if slips is not None and not (at_start or at_end) and random.random() < slips.share:
            text = random.choice(["", text.replace("w", "x")])
            slips.dropped |= set() if text else {word.text}
        start_s = max(word.start_s, from_s) - from_s + random.uniform(-JITTER_S, JITTER_S)
        end_s = min(word.end_s, to_s) - from_s + random.uniform(-JITTER_S, JITTER_S)
        if not into[0] and word.start_s < from_s:
            # The end of a predecessor's word is heard where it is, before the pause.
            end_s = min(end_s, word.end_s - from_s)
        start_s = max(0.0, start_s, heard[-1].start_s if heard else 0.0)
        if text:
            heard.append(Word(text, start_s, max(start_s, end_s)))
    return heard


def _segments(random: Random, words: Sequence[Word], *, timed: bool) -> tuple[Segment, ...]:
    segments = []
    at = 0
    while at < len(words):
        group = tuple(words[at : at + random.randint(1, 10)])
        at += len(group)
        text = " ".join(word.text for word in group)
        end_s = max(word.end_s for word in group)
        segments.append(Segment(text, group[0].start_s, end_s, group if timed else ()))
    return tuple(segments)


SEEDS = st.integers(0, 1 << 32)


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.integers(1, 70))
@example(3842, 37)
@example(7902, 68)
def test_repeated_words_with_times_are_there_once(seed: int, said: int) -> None:
    """Nothing lost and nothing doubled, even where the same word is said again and again."""
    random = Random(seed)
    spoken = speech(random, said, ["no", "the", "yes"])
    transcript = ResultMerger().merge(outcomes(random, spoken, timed=True), spoken.duration_s)
    told = [word.text for segment in transcript.segments for word in segment.words]
    assert told == [word.text for word in spoken.words]
    starts = [segment.start_s for segment in transcript.segments]
    assert starts == sorted(starts)


# In one of some 90,000 the two mishearings around a cut are alike in a way that nothing gives away:
# not found by chance in a run that is about something else.
@settings(max_examples=200, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 70))
@example(8752, 33)
@example(8909, 55)
@example(33799, 57)
def test_words_without_times_are_there_once(seed: int, said: int) -> None:
    """With segment times only, as long as a word is not said twice within seconds.

    Which of two hearings is right is then not always known: a misheard word may stay.
    """
    random = Random(seed)
    spoken = speech(random, said, [])
    transcript = ResultMerger().merge(outcomes(random, spoken, timed=False), spoken.duration_s)
    told = transcript.text.split()
    assert len(told) == len(spoken.words)
    wrong = [a for a, word in zip(told, spoken.words, strict=True) if a != word.text]
    assert set(wrong) <= set(MISHEARD)


SYLLABLES = {
    "Thai": [chr(at) + vowel for at in range(0x0E01, 0x0E1F) for vowel in ("", "ี", "ุ", "้")],
    "Lao": [chr(at) + vowel for at in (*range(0x0E94, 0x0EA0), 0x0EA7) for vowel in "ີຸິັືູ່້"],
    "Khmer": [chr(at) + vowel for at in range(0x1780, 0x17A0) for vowel in ("", "ិ", "ុ", "ំ")],
    "Chinese": [chr(at) for at in range(0x4E00, 0x4E80)],
    "Japanese": [chr(at) for at in range(0x3042, 0x3094)],
}
"""What readers take for one character each."""


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("script", SYLLABLES)
def test_scripts_without_spaces_are_there_once(script: str, share: float) -> None:
    """As the words above, written without spaces, or with few: Thai has them between phrases."""
    written = {f"w{index}": each for index, each in enumerate(SYLLABLES[script])}
    written |= {slip: SYLLABLES[script][-index] for index, slip in enumerate(MISHEARD, 1)}
    for seed in range(40):
        random = Random(seed)
        spoken = speech(random, 70, [])
        heard = []
        for outcome in outcomes(random, spoken, timed=False):
            transcription = outcome.transcription
            assert isinstance(transcription, Transcription)
            segments = []
            for segment in transcription.segments:
                parts = [written[word] for word in segment.text.split()]
                spaced = [part + " " * (random.random() < share) for part in parts]
                segments.append(replace(segment, text="".join(spaced).strip()))
            heard.append(replace(outcome, transcription=Transcription("", tuple(segments))))
        text = ResultMerger().merge(heard, spoken.duration_s).text.replace(" ", "")
        told = [word.text for word in spread(text, 0.0, 1.0)]
        pairs = zip(told, spoken.words, strict=True)
        wrong = {syllable for syllable, word in pairs if syllable != written[word.text]}
        assert wrong <= {written[slip] for slip in MISHEARD}


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.integers(1, 70), st.sampled_from([0.02, 0.05]))
@example(192, 62, 0.02)
@example(843, 47, 0.02)
@example(4214, 52, 0.02)
def test_slips_cost_themselves_alone(seed: int, said: int, share: float) -> None:
    """Words with times, dropped or altered anywhere: no other one is lost, and none is doubled.

    What one chunk dropped its neighbour may have heard, so it may be there all the same.
    """
    random = Random(seed)
    spoken = speech(random, said, [])
    slips = Slips(share)
    heard = outcomes(random, spoken, timed=True, slips=slips)
    told = ResultMerger().merge(heard, spoken.duration_s).text.split()
    words = [word.replace("x", "w") for word in told if word not in MISHEARD]
    assert words == sorted(set(words), key=lambda word: int(word[1:]))
    missing = {word.text for word in spoken.words} - set(words)
    # Each of the others was misheard at an upload's edge, and so may one that was dropped be.
    misheard = len(told) - len(words)
    assert len(missing - slips.dropped) <= misheard <= len(missing)

"""What of an answer is doubted, and what is asked for again. Decisions only: nothing is read here.

Servers answer 200 and lose words where they cut audio into windows of 30 s; recognisers fall into
loops, and put words into silence. All times are seconds in the chunk's upload.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from sttbatch.core.models import Segment, Transcription
from sttbatch.processing.media.loudness import (
    LOUD_DB,
    SILENT_DB,
    LoudnessLevels,
    Span,
    joined,
    outside,
    quietest,
    sound_limit,
    sounds,
)
from sttbatch.processing.transcript.overlap import plain
from sttbatch.processing.transcript.result_merger import of_words

HOLE_S = 1.5
"""Shorter stretches without a segment are pauses."""

SOUND_S = 0.5
"""A hole with less sound holds none: breaths last so long, and segment times drift by as much."""

PIECE_S = 27.5
"""Longest piece asked for again: under the 30 s that Whisper hears at a time, with room."""

ONE_PIECE_S = 28.0
"""An upload up to this long is such a piece itself, and has had its answer."""

LOOP_RATIO = 2.4
"""Text that zlib makes this much smaller repeats itself; the threshold is Whisper's own."""

LOOP_TIMES = 4
LOOP_SHARE = 0.8
"""Of a loop's words that are the same as those one phrase earlier."""

SPARSE_LETTERS_PER_S = 4.0
"""Slow speech has ten; text with fewer may stand over silence."""

PAUSE_S = 2.0
"""A pause this long between sounds of one hole is not paid for."""

PAD_S = 0.2
"""Of silence on either side of a piece."""

CONTEXT_S = 0.5
REFERENCES = 8
"""Half seconds spread over the upload, and on either side of a hole, tell its noise floor."""

_MIN_FLOOR_FRAMES = 50
_CUT_WITHIN_S = 4.0


@dataclass(frozen=True, slots=True)
class SuspectSpans:
    """What the times and the text of an answer leave open.

    Attributes:
        own: what the chunk answers for; overlap and preroll are its neighbours'.
        holes: stretches without a segment, or under a loop.
        looped: indexes of segments that repeat one phrase.
        sparse: indexes of segments that may be text over silence.
    """

    own: Span
    holes: tuple[Span, ...] = ()
    looped: frozenset[int] = frozenset()
    sparse: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.holes or self.sparse)

    def stretches(self, segments: Sequence[Segment]) -> tuple[Span, ...]:
        """What has to be listened to: what is in question, and a little to compare it with."""
        step_s = self.own.duration_s / REFERENCES
        wanted = [
            Span(self.own.start_s + step_s * at, self.own.start_s + step_s * at + CONTEXT_S)
            for at in range(REFERENCES)
        ]
        wanted += [Span(hole.start_s - CONTEXT_S, hole.end_s + CONTEXT_S) for hole in self.holes]
        wanted += [span_of(segments[index]) for index in self.sparse]
        return tuple(Span(max(0.0, each.start_s), each.end_s) for each in joined(wanted))


def span_of(segment: Segment) -> Span:
    return Span(segment.start_s, segment.end_s)


def doubts(heard: Transcription, own: Span) -> SuspectSpans:
    """What to look at, told from the answer alone."""
    segments = heard.segments
    looped = frozenset(_looped(segments))
    trusted = [
        span_of(segment)
        for index, segment in enumerate(segments)
        if index not in looped and (segment.text or segment.words)
    ]
    sparse = frozenset(
        index
        for index, segment in enumerate(segments)
        if segment.end_s - segment.start_s >= HOLE_S
        and sum(map(str.isalnum, segment.text))
        < SPARSE_LETTERS_PER_S * (segment.end_s - segment.start_s)
    )
    return SuspectSpans(own, tuple(outside(trusted, own, HOLE_S)), looped, sparse - looped)


class LoudnessProfile:
    """The levels of what is in question, and where the recording's noise ends."""

    def __init__(self, measured: Sequence[LoudnessLevels], holes: Sequence[Span]) -> None:
        self._measured = measured
        around = b"".join(
            levels.within(part).below
            for levels in measured
            for part in outside(holes, Span(levels.start_s, levels.end_s))
        )
        # Known speech may have no pause in it, and what is in question may be noise throughout:
        # whichever goes down further tells the floor.
        self.limit = sound_limit(b"".join(each.below for each in measured))
        if len(around) >= _MIN_FLOOR_FRAMES:
            self.limit = max(self.limit, sound_limit(around))
        else:
            # Nothing but what is in question: then what is loud is sound, however level it is.
            self.limit = max(self.limit, LOUD_DB)

    def levels(self, span: Span) -> LoudnessLevels:
        """Of the measured stretch that holds the middle of `span`."""
        middle_s = (span.start_s + span.end_s) / 2
        for levels in self._measured:
            if levels.start_s <= middle_s <= levels.end_s:
                return levels.within(span)
        return LoudnessLevels(span.start_s, b"")

    def is_silent(self, span: Span) -> bool:
        """Whether nothing in it, which was measured, rises above digital silence."""
        below = self.levels(span).below
        return bool(below) and min(below) >= SILENT_DB

    def sound_in(self, hole: Span) -> list[Span]:
        """Sounds of a hole that are worth asking for, those with short pauses between as one."""
        found = sounds(self.levels(hole), self.limit)
        return [
            group
            for group in joined(found, PAUSE_S)
            if _within(found, group) >= SOUND_S and group.duration_s > 0
        ]


def asks(holes: Iterable[Span], listened: LoudnessProfile, *, timed: bool) -> list[Span]:
    """Pieces to ask for, in order, each cut in silence where there is some.

    Args:
        holes: stretches without words.
        listened: their levels.
        timed: words have times, so one that is heard again beside a hole can be told and left out.
    """
    found: list[Span] = []
    for hole in holes:
        for sound in listened.sound_in(hole):
            start_s = max(sound.start_s - PAD_S, hole.start_s)
            end_s = min(sound.end_s + PAD_S, hole.end_s)
            if timed:
                start_s = _outwards(start_s, -1, listened)
                end_s = _outwards(end_s, 1, listened)
            found += _cut_up(Span(max(0.0, start_s), end_s), listened)
    return found


def fits(segments: Iterable[Segment], piece: Span, taken: Sequence[Span]) -> Iterator[Segment]:
    """Of what was heard in a piece, what lies in it and has not been heard before."""
    for segment in segments:
        if not segment.words:
            middle_s = (segment.start_s + segment.end_s) / 2
            if segment.text and not any(each.start_s < middle_s < each.end_s for each in taken):
                yield replace(
                    segment,
                    start_s=max(segment.start_s, piece.start_s),
                    end_s=max(piece.start_s, min(segment.end_s, piece.end_s)),
                )
            continue
        words = [
            word
            for word in segment.words
            if not any(
                each.start_s < (word.start_s + word.end_s) / 2 < each.end_s for each in taken
            )
        ]
        if len(words) == len(segment.words):
            yield segment
        elif words:
            yield of_words(segment, words)


def is_loop(text: str) -> bool:
    """Whether a text is one phrase many times over."""
    words = [plain(word) for word in text.split()]
    if len(words) < LOOP_TIMES:
        # Written without spaces.
        words = [char for char in text if char.isalnum()]
    data = " ".join(text.split()).encode()
    if len(words) < LOOP_TIMES or len(data) <= LOOP_RATIO * len(zlib.compress(data)):
        return False
    for period in range(1, len(words) // LOOP_TIMES + 1):
        same = sum(one == other for one, other in zip(words, words[period:], strict=False))
        if same >= LOOP_SHARE * (len(words) - period):
            return True
    return False


def joined_text(segments: Iterable[Segment]) -> str:
    return " ".join(segment.text for segment in segments if segment.text)


def _looped(segments: Sequence[Segment]) -> Iterator[int]:
    """Segments that are a loop, each by itself or as one phrase in a row of them."""
    for _, grouped in groupby(range(len(segments)), key=lambda index: plain(segments[index].text)):
        indexes = list(grouped)
        if is_loop(joined_text(segments[index] for index in indexes)):
            yield from indexes


def _within(spans: Iterable[Span], whole: Span) -> float:
    return sum(
        max(0.0, min(span.end_s, whole.end_s) - max(span.start_s, whole.start_s)) for span in spans
    )


def _outwards(at_s: float, way: int, listened: LoudnessProfile) -> float:
    """The nearest moment without sound, on the side where the words are known."""
    near = Span(at_s - CONTEXT_S, at_s) if way < 0 else Span(at_s, at_s + CONTEXT_S)
    found = sounds(listened.levels(near), listened.limit)
    if way < 0:
        crossing = [each for each in found if each.end_s >= at_s - PAD_S / 4]
        return crossing[-1].start_s - PAD_S / 10 if crossing else at_s
    crossing = [each for each in found if each.start_s <= at_s + PAD_S / 4]
    return crossing[0].end_s + PAD_S / 10 if crossing else at_s


def _cut_up(span: Span, listened: LoudnessProfile) -> list[Span]:
    """The span in parts of no more than `PIECE_S`, about alike."""
    cuts = [span.start_s]
    while (rest_s := span.end_s - cuts[-1]) > PIECE_S:
        parts = int(rest_s // PIECE_S) + 1
        target_s = cuts[-1] + rest_s / parts
        latest_s = min(target_s + _CUT_WITHIN_S, cuts[-1] + PIECE_S)
        window = Span(max(target_s - _CUT_WITHIN_S, cuts[-1] + HOLE_S), latest_s)
        at_s = quietest(listened.levels(window), listened.limit)
        cuts.append(min(max(at_s, window.start_s), latest_s))
    return [Span(*pair) for pair in pairwise([*cuts, span.end_s])]

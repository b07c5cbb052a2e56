"""Finds the suspect spans of a transcription, and those of them that are sent again.

Servers that respond with 200 may lose words between their windows of 30 s; recognisers repeat
phrases in loops, and invent words in silence. All times are seconds in the chunk's upload.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice, pairwise
from operator import eq

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.models import ChunkSpan, Gap, Segment, Transcription, Word
from sttbatch.processing.media import loudness
from sttbatch.processing.media.loudness import LoudnessLevels, Span, merge_spans, uncovered
from sttbatch.processing.transcript.overlap import middle_s, plain, same_word
from sttbatch.processing.transcript.result_merger import filter_words
from sttbatch.processing.transcript.speech_evidence import DRIFT_S, evidence_of_text

HOLE_S = 1.5
"""Shorter spans without a segment are pauses."""

SOUND_S = 0.5
"""A hole with less sound has no words: breaths are as long, and segment times as inexact."""

PIECE_S = 27.5
"""The longest piece that is sent again, within Whisper's window of 30 s."""

ONE_PIECE_S = 28.0
"""An upload up to this long that came back without any word is not sent again."""

LOOP_RATIO = 2.4
"""Text with a higher zlib compression ratio repeats itself; the threshold is Whisper's."""

LOOP_TIMES = 4
LOOP_PHRASE = 224
"""The longest phrase of a loop, in words: the most tokens that Whisper writes for one window."""

LOOP_SHARE = 0.8
"""The share of a loop's words that equal those one phrase earlier."""

SPARSE_LETTERS_PER_S = 4.0
"""Slow speech has ten; text with fewer may be over silence."""

PAUSE_S = 2.0
"""A pause this long between sounds of one hole is not sent."""

PAD_S = 0.2
"""Seconds of silence on either side of a piece."""

CONTEXT_S = 0.5
REFERENCES = 8
"""Half seconds spread over the upload, and on either side of a hole, give its noise floor."""

_MIN_FLOOR_FRAMES = 50
_CUT_WITHIN_S = 4.0


class SuspectSpans(Struct, frozen=True):
    """The spans and segments of a transcription that its times and text make suspect.

    Attributes:
        own: the part that the chunk covers, without overlap and preroll.
        holes: spans without a segment, or under a loop.
        looped: indexes of segments that repeat one phrase.
        sparse: indexes of segments that may be text over silence.
        doubtful: indexes of segments whose text speaks against them.
    """

    own: Span
    holes: tuple[Span, ...] = ()
    looped: frozenset[int] = frozenset()
    sparse: frozenset[int] = frozenset()
    doubtful: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.holes or self.sparse or self.doubtful)

    def spans_to_measure(self, segments: Sequence[Segment]) -> tuple[Span, ...]:
        """The suspect spans, and short ones of the whole upload for comparison."""
        step_s = self.own.duration_s / REFERENCES
        wanted = [
            Span(self.own.start_s + step_s * at, self.own.start_s + step_s * at + CONTEXT_S)
            for at in range(REFERENCES)
        ]
        wanted += [Span(hole.start_s - CONTEXT_S, hole.end_s + CONTEXT_S) for hole in self.holes]
        wanted += [span_of(segments[index]) for index in self.sparse | self.doubtful]
        return tuple(Span(max(0.0, each.start_s), each.end_s) for each in merge_spans(wanted))

    def spans_in_question(self, segments: Sequence[Segment]) -> tuple[Span, ...]:
        """Where it has to be heard whether somebody speaks, in order and disjoint."""
        doubtful = [
            Span(max(0.0, segments[index].start_s - DRIFT_S), segments[index].end_s + DRIFT_S)
            for index in self.doubtful
        ]
        return tuple(merge_spans([*self.holes, *doubtful]))


def span_of(part: Segment | Gap | ChunkSpan) -> Span:
    return Span(part.start_s, part.end_s)


def suspect_spans(transcription: Transcription, own: Span) -> SuspectSpans:
    """Find suspect spans by times and text, without the audio."""
    segments = transcription.segments
    looped = frozenset(_looped(segments))
    trusted = [each for index, each in enumerate(segments) if index not in looped]
    sparse = frozenset(
        index
        for index, segment in enumerate(segments)
        if segment.end_s - segment.start_s >= HOLE_S
        and sum(map(str.isalnum, segment.text))
        < SPARSE_LETTERS_PER_S * (segment.end_s - segment.start_s)
    )
    doubtful = frozenset(
        index for index, segment in enumerate(segments) if evidence_of_text(segment)
    )
    return SuspectSpans(
        own,
        tuple(holes_between(trusted, own)),
        looped,
        sparse - looped,
        doubtful - looped,
    )


def holes_between(segments: Iterable[Segment], own: Span) -> list[Span]:
    """Spans of `own` without a segment."""
    spans = [span_of(each) for each in segments if each.text or each.words]
    return uncovered(spans, own, HOLE_S)


class LoudnessProfile:
    """The levels of the suspect spans, the threshold between noise and sound, and their speech.

    `speech` is None where nobody looked for it: then all sound may be speech.
    """

    def __init__(
        self,
        measured: Sequence[LoudnessLevels],
        holes: Sequence[Span],
        speech: Sequence[Span] | None = None,
    ) -> None:
        self.speech = speech
        self._measured = measured
        around = b"".join(
            levels.within(part).attenuation_db
            for levels in measured
            for part in uncovered(holes, Span(levels.start_s, levels.end_s))
        )
        # Known speech may have no pauses, and suspect spans may be noise throughout: the quieter
        # of both gives the noise floor.
        by_all = loudness.sound_threshold(b"".join(levels.attenuation_db for levels in measured))
        # If only suspect spans were measured, anything loud is sound, even if it is level.
        is_enough = len(around) >= _MIN_FLOOR_FRAMES
        self.threshold = max(
            by_all, loudness.sound_threshold(around) if is_enough else loudness.LOUD_DB
        )

    def levels(self, span: Span) -> LoudnessLevels:
        """The levels within `span`, from the measured span that contains its middle."""
        middle_s = (span.start_s + span.end_s) / 2
        for levels in self._measured:
            if levels.start_s <= middle_s <= levels.end_s:
                return levels.within(span)
        return LoudnessLevels(span.start_s, b"")

    def is_silent(self, span: Span) -> bool:
        """Whether the span was measured and nothing in it rises above rounding."""
        attenuation_db = self.levels(span).attenuation_db
        return bool(attenuation_db) and min(attenuation_db) >= loudness.ROUNDING_DB

    def wanted_in(self, hole: Span) -> list[Span]:
        """What of a hole is worth sending: its speech or, where nobody looked, its sounds."""
        if self.speech is None:
            return self._sounds_in(hole)
        clipped = (
            Span(max(each.start_s, hole.start_s), min(each.end_s, hole.end_s))
            for each in self.speech
        )
        return _groups([each for each in clipped if each.duration_s > 0])

    def noises_in(self, hole: Span) -> list[Span]:
        """Sounds of a hole that hold no speech."""
        if self.speech is None:
            return []
        speech = [Span(each.start_s - PAUSE_S, each.end_s + PAUSE_S) for each in self.speech]
        return [
            noise for sound in self._sounds_in(hole) for noise in uncovered(speech, sound, HOLE_S)
        ]

    def _sounds_in(self, hole: Span) -> list[Span]:
        return _groups(loudness.find_sounds(self.levels(hole), self.threshold))


def retry_spans(holes: Iterable[Span], profile: LoudnessProfile, *, timed: bool) -> list[Span]:
    """The pieces to send again, in order, cut in silence where possible.

    If words are `timed`, a piece may include known ones, since duplicates are recognised.
    """
    pieces: list[Span] = []
    for hole in holes:
        for wanted in profile.wanted_in(hole):
            start_s = max(wanted.start_s - PAD_S, hole.start_s)
            end_s = min(wanted.end_s + PAD_S, hole.end_s)
            if timed:
                start_s = _moved_outwards(start_s, -1, profile)
                end_s = _moved_outwards(end_s, 1, profile)
            pieces += _split(Span(max(0.0, start_s), end_s), profile)
    return pieces


def _groups(spans: Sequence[Span]) -> list[Span]:
    """Spans with short pauses between them as one, without groups too short for a word."""

    def sum_s(group: Span) -> float:
        return sum(each.duration_s for each in spans if group.start_s <= each.start_s < group.end_s)

    return [group for group in merge_spans(spans, PAUSE_S) if sum_s(group) >= SOUND_S]


def drop_duplicates(
    segments: Sequence[Segment], piece: Span, known: Sequence[Segment]
) -> Iterator[Segment]:
    """Drop what is `known` before or after a piece; segments without words are clamped to it."""
    new = _new_span([word for each in segments for word in each.words], piece, known)
    for segment in filter_words(segments, lambda each: new.start_s <= middle_s(each) <= new.end_s):
        if segment.words:
            yield segment
        elif segment.text:
            end_s = max(piece.start_s, min(segment.end_s, piece.end_s))
            yield replace(segment, start_s=max(segment.start_s, piece.start_s), end_s=end_s)


def _new_span(heard: Sequence[Word], piece: Span, known: Sequence[Segment]) -> Span:
    """Where the middle of a word that is not known lies.

    The times of a new word and of the known one beside it are inexact, and may overlap. Where the
    piece repeats the known one, it shows where the new ones begin or end.
    """
    at_s = (piece.start_s + piece.end_s) / 2
    before = [each for each in known if middle_s(each) < at_s]
    after = [each for each in known if middle_s(each) >= at_s]
    start_s = max((each.end_s for each in before), default=-math.inf)
    end_s = min((each.start_s for each in after), default=math.inf)
    last = max((word for each in before for word in each.words), key=middle_s, default=None)
    first = min((word for each in after for word in each.words), key=middle_s, default=None)
    if last is not None and (repeated := same_word(last, heard)) is not None:
        start_s = math.nextafter(middle_s(repeated), math.inf)
    if first is not None and (repeated := same_word(first, heard)) is not None:
        end_s = math.nextafter(middle_s(repeated), -math.inf)
    return Span(start_s, end_s)


def is_loop(text: str) -> bool:
    """Whether a text repeats one phrase many times."""
    data = " ".join(text.split()).encode()
    if len(data) <= LOOP_RATIO * len(zlib.compress(data)):
        return False
    words = [plain(word) for word in text.split()]
    if len(words) < LOOP_TIMES:
        # Some languages are written without spaces.
        words = [char for char in text if char.isalnum()]
    for period in range(1, min(len(words) // LOOP_TIMES, LOOP_PHRASE) + 1):
        same = sum(map(eq, words, islice(words, period, None)))
        if same >= LOOP_SHARE * (len(words) - period):
            return True
    return False


def without_loops(segments: Iterable[Segment]) -> list[Segment]:
    return [each for each in segments if not is_loop(each.text)]


def joined_text(segments: Iterable[Segment]) -> str:
    return " ".join(segment.text for segment in segments if segment.text)


def _looped(segments: Sequence[Segment]) -> Iterator[int]:
    """Indexes of segments that are a loop, alone or by repeating one phrase in a row."""
    for _, grouped in groupby(range(len(segments)), key=lambda index: plain(segments[index].text)):
        indexes = list(grouped)
        if is_loop(joined_text(segments[index] for index in indexes)):
            yield from indexes


def _moved_outwards(at_s: float, direction: int, profile: LoudnessProfile) -> float:
    """The nearest time without sound, on the side of the known words."""
    near = Span(at_s - CONTEXT_S, at_s) if direction < 0 else Span(at_s, at_s + CONTEXT_S)
    sounds = loudness.find_sounds(profile.levels(near), profile.threshold)
    crossing = [s for s in sounds if s.start_s - PAD_S / 4 <= at_s <= s.end_s + PAD_S / 4]
    if not crossing:
        return at_s
    return crossing[-1].start_s - PAD_S / 10 if direction < 0 else crossing[0].end_s + PAD_S / 10


def _split(span: Span, profile: LoudnessProfile) -> list[Span]:
    """Split a span into parts of about equal length, at most `PIECE_S`."""
    cuts = [span.start_s]
    while (rest_s := span.end_s - cuts[-1]) > PIECE_S:
        parts = int(rest_s // PIECE_S) + 1
        target_s = cuts[-1] + rest_s / parts
        latest_s = min(target_s + _CUT_WITHIN_S, cuts[-1] + PIECE_S)
        window = Span(max(target_s - _CUT_WITHIN_S, cuts[-1] + HOLE_S), latest_s)
        at_s = loudness.quietest_s(profile.levels(window), profile.threshold)
        cuts.append(min(max(at_s, window.start_s), latest_s))
    return [Span(*pair) for pair in pairwise([*cuts, span.end_s])]

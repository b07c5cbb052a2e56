"""ResultMerger: merges the transcriptions of chunks into a transcript with each word once.

At a cut in silence, words that end before a chunk's start belong to its predecessor. At a cut with
overlap both chunks contain the same two seconds; `overlap` decides where the transcript changes
from one to the other.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from sttbatch.core.models import (
    MIXED,
    SHORT_OTHERS,
    ChunkSpan,
    ChunkSummary,
    DroppedSegment,
    Gap,
    GapReason,
    Segment,
    Transcript,
    Transcription,
    Word,
)
from sttbatch.core.scripts import is_unspaced
from sttbatch.processing.transcript import overlap
from sttbatch.processing.transcript.timestamps import TimestampAdjuster
from sttbatch.processing.transcript.words import Token, reduced, tokens_of

_FASTEST = 1
_decoder = msgspec.msgpack.Decoder(Transcription)

_STATUS = {None: "ok", GapReason.NO_SPEECH: "no_speech"}

LONGEST_SEGMENT_S = 30.0
"""Whisper's window; no longer segment is made of two."""

TOUCHING_S = 0.1
"""Gaps up to this distance are merged, since chunks end on packets."""


class ChunkOutcome(Struct, frozen=True):
    """The result of one chunk.

    Attributes:
        transcription: bytes where it is compressed; None where there is none, and `gap` says why.
        gaps: spans within, in the recording's time, that should have words and have none.
        dropped: text that nobody spoke, in the recording's time.
        is_short: of one that is compressed, whether it is soon merged.
    """

    span: ChunkSpan
    transcription: Transcription | bytes | None
    cached: bool = False
    gap: GapReason | None = None
    detail: str = ""
    gaps: tuple[Gap, ...] = ()
    dropped: tuple[DroppedSegment, ...] = ()
    is_short: bool = False

    def compressed(self) -> ChunkOutcome:
        """The same outcome in less memory: a word takes about 10 bytes instead of 170."""
        if not isinstance(self.transcription, Transcription):
            return self
        data = msgspec.msgpack.encode(self.transcription)
        is_short = (
            self.transcription.is_short and len(self.dropped) + len(self.gaps) <= SHORT_OTHERS
        )
        return replace(self, transcription=zlib.compress(data, _FASTEST), is_short=is_short)

    def decoded(self) -> Transcription | None:
        if isinstance(self.transcription, bytes):
            return _decoder.decode(zlib.decompress(self.transcription))
        return self.transcription


class ResultMerger:
    """Merges outcomes; each transcription is decoded once and not kept in memory."""

    def merge(self, outcomes: Iterable[ChunkOutcome], duration_s: float) -> Transcript:
        """Merge the outcomes of one recording; `duration_s` is its measured length.

        Channels that were transcribed separately are joined separately, then sorted by time, so
        that both speakers keep their words when they talk at once.
        """
        ordered = sorted(outcomes, key=lambda o: (o.span.start_s, o.span.channel))
        segments: list[Segment] = []
        gaps: list[Gap] = []
        languages: list[str] = []
        for channel in sorted({outcome.span.channel for outcome in ordered}):
            of_channel = [o for o in ordered if o.span.channel == channel]
            gaps += _gaps(of_channel)
            joined = self._joined(of_channel, languages)
            if channel != MIXED:
                joined = [replace(segment, speaker=str(channel)) for segment in joined]
            segments += joined
        segments.sort(key=lambda segment: segment.start_s)
        return Transcript(
            duration_s=duration_s,
            language=languages[0] if languages else None,
            segments=tuple(segments),
            chunks=tuple(
                ChunkSummary(
                    index,
                    outcome.span.start_s,
                    outcome.span.end_s,
                    outcome.cached,
                    _STATUS.get(outcome.gap, "failed"),
                    outcome.span.channel,
                )
                for index, outcome in enumerate(ordered)
            ),
            gaps=tuple(sorted(gaps, key=lambda gap: gap.start_s)),
            dropped=tuple(each for outcome in ordered for each in _dropped(outcome)),
            source_language=_source_language(ordered),
        )

    def _joined(self, ordered: Sequence[ChunkOutcome], languages: list[str]) -> list[Segment]:
        """Join the segments of one channel, and append their languages to `languages`."""
        segments: list[Segment] = []
        # The end of the previous chunk; None: it has no transcription.
        reached_pts: int | None = None
        for outcome in ordered:
            span, transcription = outcome.span, outcome.decoded()
            if transcription is None:
                reached_pts = None
                continue
            adjusted = TimestampAdjuster().adjust(span, transcription)
            added = [segment for segment in adjusted if segment.text or segment.words]
            if span.start.overlap and reached_pts == span.start.pts:
                segments, added = _join(segments, added, span.start_s)
            elif reached_pts == span.start.pts:
                added = _from(added, span.start_s)
            segments += added
            reached_pts = span.end.pts
            if transcription.language:
                languages.append(transcription.language)
        return list(_monotonic(segments))


def _source_language(outcomes: Sequence[ChunkOutcome]) -> str | UnsetType:
    """The first language that was spoken, if this is a translation."""
    decoded = (outcome.decoded() for outcome in outcomes)
    found = (each.source_language for each in decoded if each is not None)
    return next((each for each in found if each is not UNSET), UNSET)


def _gaps(outcomes: Sequence[ChunkOutcome]) -> list[Gap]:
    """The gaps in order; those of the same reason that touch are merged."""
    gaps: list[Gap] = []
    for outcome in outcomes:
        gaps += sorted(outcome.gaps, key=lambda gap: gap.start_s)
        if outcome.gap is not None:
            span = outcome.span
            gaps.append(Gap(span.start_s, span.end_s, outcome.gap, outcome.detail, span.channel))
    merged: list[Gap] = []
    for gap in gaps:
        last = merged[-1] if merged else gap
        is_same = (gap.reason, gap.detail) == (last.reason, last.detail)
        if merged and is_same and gap.start_s - last.end_s <= TOUCHING_S:
            merged[-1] = replace(last, end_s=max(last.end_s, gap.end_s))
        else:
            merged.append(gap)
    return merged


def _dropped(outcome: ChunkOutcome) -> Iterator[DroppedSegment]:
    """What a chunk's neighbour did not hear as well."""
    span, speaker = outcome.span, str(outcome.span.channel)
    for each in outcome.dropped:
        if span.start_s <= (each.segment.start_s + each.segment.end_s) / 2 <= span.end_s:
            is_mixed = span.channel == MIXED
            yield (
                each if is_mixed else replace(each, segment=replace(each.segment, speaker=speaker))
            )


def _from(segments: Iterable[Segment], start_s: float) -> list[Segment]:
    """Drop what ends before the chunk's own start: it belongs to the predecessor.

    What has no length was not timed: it may have been said anywhere, and is kept.
    """
    return list(
        filter_words(segments, lambda each: each.end_s > start_s or each.end_s == each.start_s)
    )


def filter_words(
    segments: Iterable[Segment], wanted: Callable[[Segment | Word], bool]
) -> Iterator[Segment]:
    """Reduce segments to their `wanted` words; segments without words are tested as a whole."""
    for segment in segments:
        kept = [index for index, word in enumerate(segment.words) if wanted(word)]
        if kept:
            yield reduced(segment, kept)
        elif not segment.words and wanted(segment):
            yield segment


def _join(
    before: list[Segment], after: list[Segment], cut_s: float
) -> tuple[list[Segment], list[Segment]]:
    """Merge two chunks around `cut_s`, where both have the same words."""
    # Only words near the cut are compared.
    first, past = len(before), 0
    while first and before[first - 1].end_s >= cut_s - overlap.ALIGN_WITHIN_UNTIMED_S:
        first -= 1
    while past < len(after) and after[past].start_s <= cut_s + overlap.ALIGN_WITHIN_UNTIMED_S:
        past += 1
    tail, head = before[first:], after[:past]
    left, right = tokens_of(tail), tokens_of(head)
    left_end, right_start = overlap.change_over(left, right, cut_s)
    before = before[:first] + _kept(tail, left[:left_end])
    after = _kept(head, right[right_start:]) + after[past:]
    is_within = _is_within(left, left_end) or _is_within(right, right_start)
    if is_within and before and after and _is_one_sentence(before[-1], after[0]):
        before[-1:], after = [_glued(before[-1], after[0])], after[1:]
    return before, after


def _kept(segments: Sequence[Segment], tokens: Iterable[Token]) -> list[Segment]:
    """Reduce segments to those of their words that are kept."""
    return [
        reduced(segments[index], [token.place for token in group])
        for index, group in groupby(tokens, key=attrgetter("segment"))
    ]


def _is_within(tokens: Sequence[Token], at: int) -> bool:
    """Whether a segment is cut before one of its words."""
    return 0 < at < len(tokens) and tokens[at - 1].segment == tokens[at].segment


def _is_one_sentence(left: Segment, right: Segment) -> bool:
    """Whether what stands between two segments would part a word, for want of spaces."""
    is_short = right.end_s - left.start_s <= LONGEST_SEGMENT_S
    return is_short and is_unspaced(left.text[-1:]) and is_unspaced(right.text[:1])


def _glued(left: Segment, right: Segment) -> Segment:
    words = left.words + right.words if left.words and right.words else ()
    return replace(left, text=left.text + right.text, end_s=right.end_s, words=words)


def _monotonic(segments: Iterable[Segment]) -> Iterable[Segment]:
    """Move times so that no segment starts before its predecessor, or ends before it starts."""
    at_s = 0.0
    for segment in segments:
        start_s = max(at_s, segment.start_s)
        yield replace(segment, start_s=start_s, end_s=max(start_s, segment.end_s))
        at_s = start_s

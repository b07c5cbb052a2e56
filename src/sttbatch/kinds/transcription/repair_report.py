"""The results of the gap repair of one chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from sttbatch.core.errors import BudgetReached
from sttbatch.core.events import ChunkAudited
from sttbatch.core.models import DroppedSegment, Gap, GapReason, Segment, Transcription
from sttbatch.processing.media.loudness import Span
from sttbatch.processing.transcript.gap_detection import joined_text, span_of

_FILLED = "filled"


class RepairedChunk(Struct, frozen=True):
    """A chunk's words after gap repair.

    Attributes:
        gaps, dropped: in the recording's time.
        over_budget: a budget forbade to send more.
    """

    transcription: Transcription
    gaps: tuple[Gap, ...] = ()
    sent: bool = False
    over_budget: BudgetReached | None = None
    dropped: tuple[DroppedSegment, ...] = ()


class RepairReport(Struct):
    """The intermediate results of a repair, in the upload's time.

    Attributes:
        trusted: segments of the chunk's own answer that are not suspect.
        filled: segments that pieces brought.
        missed: speech without words, before anything was sent again.
        noises: sound without words that holds no speech.
        looped: segments that repeat a phrase.
        dropped: segments that nobody spoke.
        looped_again: pieces whose answers were loops as well.
        pieces: how many were sent, or answered from the cache.
        retried_s: seconds of audio in them.
        sent: whether a piece was sent.
    """

    trusted: list[Segment]
    filled: list[Segment] = field(default_factory=list)
    missed: Sequence[Span] = ()
    noises: Sequence[Span] = ()
    looped: Sequence[Segment] = ()
    dropped: list[DroppedSegment] = field(default_factory=list)
    looped_again: list[Span] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    pieces: int = 0
    retried_s: float = 0.0
    sent: bool = False
    over_budget: BudgetReached | None = None

    def add_gaps(self, reason: GapReason, *spans: Span, detail: str = "") -> None:
        self.gaps += [Gap(span.start_s, span.end_s, reason, detail) for span in spans]

    def transcription(self, before: Transcription) -> Transcription:
        """The trusted and filled segments as a transcription, instead of `before`."""
        segments = tuple(sorted([*self.trusted, *self.filled], key=lambda each: each.start_s))
        return replace(before, text=joined_text(segments), segments=segments)

    def resolve_loops(self) -> None:
        """Restore loops that came back as loops, or could not be sent again."""
        filled = [span_of(each) for each in self.filled]
        empty = [span_of(gap) for gap in self.gaps if gap.reason is GapReason.NO_SPEECH]
        for segment in self.looped:
            is_again = _holds(self.looped_again, segment)
            if is_again or not _holds([*filled, *empty], segment):
                self.trusted.append(segment)
        trusted = [span_of(each) for each in self.trusted]
        self.gaps = [
            gap
            for gap in self.gaps
            if gap.reason is not GapReason.NO_SPEECH or not _holds(trusted, gap)
        ]

    def event(self, recording: str, index: int) -> ChunkAudited:
        """The outcome of each missed span, as counts; for a partly filled one the rest counts."""
        ends = Counter(self._end(missed) for missed in self.missed)
        return ChunkAudited(
            recording,
            index,
            filled=ends[_FILLED],
            no_speech=ends[GapReason.NO_SPEECH] + len(self.noises),
            refused=ends[GapReason.REFUSED],
            still_missing=ends[GapReason.STILL_MISSING],
            loops=len(self.looped),
            unfounded=len(self.dropped),
            asked_s=self.retried_s,
        )

    def _end(self, missed: Span) -> str | None:
        """The outcome of a missed span; None: a loop came back there again, and is kept."""
        reasons = {gap.reason for gap in self.gaps if _overlap(gap, missed)}
        for reason in (GapReason.STILL_MISSING, GapReason.REFUSED):
            if reason in reasons:
                return reason
        # If a part has words, the rest is a pause.
        if any(_overlap(each, missed) for each in self.filled):
            return _FILLED
        return GapReason.NO_SPEECH if reasons else None


def _overlap(part: Segment | Gap, span: Span) -> bool:
    return part.start_s < span.end_s and span.start_s < part.end_s


def _holds(spans: Iterable[Span], part: Segment | Gap) -> bool:
    """Whether one of `spans` contains the middle of a part."""
    middle_s = (part.start_s + part.end_s) / 2
    return any(span.start_s <= middle_s <= span.end_s for span in spans)

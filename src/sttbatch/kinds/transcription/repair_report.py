"""What the audit of one answer has come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sttbatch.core.errors import BudgetReached
from sttbatch.core.events import ChunkAudited
from sttbatch.core.models import Gap, GapReason, Segment, Transcription
from sttbatch.processing.media.loudness import Span
from sttbatch.processing.transcript.gap_detection import span_of

_FILLED = "filled"


@dataclass(frozen=True, slots=True)
class RepairedChunk:
    """What a chunk's answer came to.

    Attributes:
        gaps: in the recording's time.
        over_budget: a budget forbade to ask for more.
    """

    heard: Transcription
    gaps: tuple[Gap, ...] = ()
    sent: bool = False
    over_budget: BudgetReached | None = None


@dataclass(slots=True)
class RepairReport:
    """Grows while pieces are asked for; in the upload's time.

    Attributes:
        kept: of the answer itself, what is not doubted.
        filled: what pieces brought.
        missed: sound without words, as it was found at first.
        loops, unfounded: segments that repeated a phrase, that stood over silence.
        again_looped: pieces whose answers were loops as well.
        asked_s: seconds of audio asked for again.
        sent: not all of it was there already.
    """

    kept: list[Segment]
    filled: list[Segment] = field(default_factory=list)
    missed: Sequence[Span] = ()
    loops: int = 0
    unfounded: int = 0
    again_looped: list[Span] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    asked_s: float = 0.0
    sent: bool = False
    over_budget: BudgetReached | None = None

    def settle_loops(self, looped: Iterable[Segment]) -> None:
        """Loops that were heard twice, or could not be asked for, are all there is."""
        filled = [span_of(each) for each in self.filled]
        empty = [Span(gap.start_s, gap.end_s) for gap in self.gaps if _is_empty(gap)]
        for segment in looped:
            middle_s = (segment.start_s + segment.end_s) / 2
            is_again = _holds(self.again_looped, middle_s)
            if is_again or not (_holds(filled, middle_s) or _holds(empty, middle_s)):
                self.kept.append(segment)
        kept = [span_of(each) for each in self.kept]
        self.gaps = [
            gap
            for gap in self.gaps
            if not (_is_empty(gap) and _holds(kept, (gap.start_s + gap.end_s) / 2))
        ]

    def audited(self, recording: str, index: int) -> ChunkAudited:
        """What became of all that was missed. Of a gap that was filled in part the rest counts."""
        ends = Counter(self._end(missed) for missed in self.missed)
        return ChunkAudited(
            recording,
            index,
            filled=ends[_FILLED],
            no_speech=ends[GapReason.NO_SPEECH],
            refused=ends[GapReason.REFUSED],
            still_missing=ends[GapReason.STILL_MISSING],
            loops=self.loops,
            unfounded=self.unfounded,
            asked_s=self.asked_s,
        )

    def _end(self, missed: Span) -> str | None:
        """None: a loop was heard twice there, and stands."""
        left = {gap.reason for gap in self.gaps if _overlap(Span(gap.start_s, gap.end_s), missed)}
        for reason in (GapReason.STILL_MISSING, GapReason.REFUSED):
            if reason in left:
                return reason
        # Words in a part of it: the rest is a pause.
        if any(_overlap(span_of(each), missed) for each in self.filled):
            return _FILLED
        return GapReason.NO_SPEECH if left else None


def _overlap(one: Span, other: Span) -> bool:
    return one.start_s < other.end_s and other.start_s < one.end_s


def _is_empty(gap: Gap) -> bool:
    return gap.reason is GapReason.NO_SPEECH


def _holds(spans: Iterable[Span], at_s: float) -> bool:
    return any(span.start_s <= at_s <= span.end_s for span in spans)

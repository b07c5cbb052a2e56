"""What the audit of one answer has come to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sttbatch.core.errors import BudgetReached
from sttbatch.core.models import Gap, GapReason, Segment, Transcription
from sttbatch.processing.audit import span_of
from sttbatch.processing.sound import Span


@dataclass(frozen=True, slots=True)
class Audited:
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
class Findings:
    """Grows while pieces are asked for; in the upload's time.

    Attributes:
        kept: of the answer itself, what is not doubted.
        filled: what pieces brought.
        again_looped: pieces whose answers were loops as well.
        asked_s: seconds of audio asked for again.
        sent: not all of it was there already.
    """

    kept: list[Segment]
    filled: list[Segment] = field(default_factory=list)
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


def _is_empty(gap: Gap) -> bool:
    return gap.reason is GapReason.NO_SPEECH


def _holds(spans: Iterable[Span], at_s: float) -> bool:
    return any(span.start_s <= at_s <= span.end_s for span in spans)

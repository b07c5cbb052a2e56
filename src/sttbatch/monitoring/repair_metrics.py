"""What answers lacked, and what asking again made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sttbatch.monitoring.aggregator import Aggregator, Window
from sttbatch.monitoring.metrics import GAP_ENDS, Metric


@dataclass(frozen=True, slots=True)
class AuditFindings:
    """What answers lacked when they were listened to.

    Attributes:
        gaps: sound without words, by what became of it: filled, no_speech, refused, still_missing.
        loops: segments that repeated one phrase; `unfounded` ones had words over silence.
        asked_s: seconds of audio that were asked for again.
    """

    gaps: Mapping[str, int]
    loops: int
    unfounded: int
    asked_s: float

    @property
    def found(self) -> int:
        """Gaps, whatever became of them."""
        return sum(self.gaps.values())

    def __bool__(self) -> bool:
        return bool(self.found or self.loops or self.unfounded)

    def named(self) -> list[tuple[str, int]]:
        """For people: each count and its name, those of nothing too."""
        return [
            ("filled", self.gaps["filled"]),
            ("without speech", self.gaps["no_speech"]),
            ("refused", self.gaps["refused"]),
            ("still missing", self.gaps["still_missing"]),
            ("loops", self.loops),
            ("over silence", self.unfounded),
        ]


def audit_findings(metrics: Aggregator, window: Window) -> AuditFindings:
    """Counted once, when an answer was audited; what is known from before is not."""

    def whole(metric: Metric) -> dict[str, int]:
        return {label: round(count) for label, count in metrics.totals(metric, window).items()}

    gaps, segments = whole(Metric.AUDIT_GAPS), whole(Metric.AUDIT_SEGMENTS)
    return AuditFindings(
        {end: gaps.get(end, 0) for end in GAP_ENDS},
        segments.get("loops", 0),
        segments.get("unfounded", 0),
        sum(metrics.totals(Metric.AUDIT_ASKED_SECONDS, window).values()),
    )

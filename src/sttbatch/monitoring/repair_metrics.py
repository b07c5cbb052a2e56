"""What answers lacked, and what gap repair made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sttbatch.core.metrics import GAP_ENDS, Metric, Window
from sttbatch.core.ports import MetricsStore
from sttbatch.monitoring.aggregator import Aggregator


@dataclass(frozen=True, slots=True)
class RepairFigures:
    """What gap detection saw in answers, and what became of it.

    Attributes:
        gaps: sound without words, by what became of it: filled, no_speech, refused, still_missing.
        loops: segments that repeated one phrase; `unfounded` ones had words over silence.
        asked_s: seconds of audio that were sent again.
    """

    gaps: Mapping[str, int]
    loops: int
    unfounded: int
    asked_s: float

    @property
    def gap_count(self) -> int:
        """Gaps, whatever became of them."""
        return sum(self.gaps.values())

    def __bool__(self) -> bool:
        return bool(self.gap_count or self.loops or self.unfounded)

    def named(self) -> list[tuple[str, int]]:
        """Each count with its name for people, zeros included."""
        return [
            ("filled", self.gaps["filled"]),
            ("without speech", self.gaps["no_speech"]),
            ("refused", self.gaps["refused"]),
            ("still missing", self.gaps["still_missing"]),
            ("loops", self.loops),
            ("over silence", self.unfounded),
        ]


async def repair_figures(metrics: MetricsStore, window: Window) -> RepairFigures:
    """Counted once, when an answer was examined; a later run over it adds nothing."""
    figures = Aggregator(metrics)
    gaps = await figures.events(Metric.AUDIT_GAPS, window)
    segments = await figures.events(Metric.AUDIT_SEGMENTS, window)
    asked_s = await metrics.totals(Metric.AUDIT_ASKED_SECONDS, window)
    return RepairFigures(
        {end: gaps.get(end, 0) for end in GAP_ENDS},
        segments.get("loops", 0),
        segments.get("unfounded", 0),
        sum(asked_s.values()),
    )

"""What the user wants to be told of: a metric over a window, compared with a threshold."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from enum import StrEnum

METRICS = {
    "failed_share": "requests that brought no words, 0 to 1; nothing without requests",
    "requests": "requests sent",
    "retries": "requests that repeated an earlier one",
    "maybe_paid": "requests that brought no words and may have been billed",
    "latency_p50": "seconds that half of the answers took at most; nothing without answers",
    "latency_p95": "the same for 95 of 100",
    "latency_p99": "the same for 99 of 100",
    "cost": "what the requests cost, maybe paid ones included",
    "audio_seconds": "seconds of audio that were answered",
    "jobs_failed": "recordings that failed",
}
"""Each metric's name and what it is, over a window."""


class Comparison(StrEnum):
    """How a value is held against a threshold."""

    GREATER_THAN = ">"
    AT_LEAST = ">="
    LESS_THAN = "<"
    AT_MOST = "<="
    EQUAL = "="


class Severity(StrEnum):
    """How much it matters; it is passed on and changes nothing here."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Channel(StrEnum):
    """Where it is told."""

    LOG = "log"
    WEBHOOK = "webhook"


_HOLDS = {
    Comparison.GREATER_THAN: operator.gt,
    Comparison.AT_LEAST: operator.ge,
    Comparison.LESS_THAN: operator.lt,
    Comparison.AT_MOST: operator.le,
    Comparison.EQUAL: operator.eq,
}


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One `[[alerts]]` table of the settings file.

    Attributes:
        metric: one of METRICS.
        window_s: seconds up to now that the metric is taken over.
        url: of the webhook; it may hold a token, so it is never shown whole.
    """

    name: str
    metric: str
    threshold: float
    comparison: Comparison = Comparison.GREATER_THAN
    window_s: float = 3600.0
    severity: Severity = Severity.WARNING
    notify: Channel = Channel.LOG
    url: str | None = None

    def is_triggered(self, value: float | None) -> bool:
        """Whether the condition holds; where there is nothing to measure it does not."""
        return value is not None and bool(_HOLDS[self.comparison](value, self.threshold))

    @property
    def condition(self) -> str:
        """What is compared, for people; the rule fires once while it holds."""
        return condition(self.metric, self.comparison, self.threshold, self.window_s)


def condition(metric: str, comparison: str, threshold: float, window_s: float) -> str:
    """For example `failed_share > 0.1 over 3600 s`."""
    return f"{metric} {comparison} {threshold:g} over {window_s:g} s"

"""What the user wants to be notified of: a metric over a window, compared with a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from operator import eq, ge, gt, le, lt

ALERT_METRICS = {
    "failed_share": "share of requests that brought no words, 0 to 1; no value without requests",
    "requests": "requests sent",
    "retries": "requests that repeated an earlier one",
    "maybe_paid": "requests that brought no words and were possibly billed",
    "latency_p50": "seconds that half of the answers took at most; no value without answers",
    "latency_p95": "the same for 95 of 100",
    "latency_p99": "the same for 99 of 100",
    "cost": "what the requests cost, possibly billed ones included",
    "audio_seconds": "seconds of audio that were answered",
    "jobs_failed": "recordings that failed, and have not been done since",
}
"""What a rule may compare: each metric's name, and what it is over a window."""


class Comparison(StrEnum):
    """How a value is compared with a threshold."""

    GREATER_THAN = ">"
    AT_LEAST = ">="
    LESS_THAN = "<"
    AT_MOST = "<="
    EQUAL = "="


class Severity(StrEnum):
    """How much it matters; passed on to every channel, otherwise without effect."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Channel(StrEnum):
    """Where a notification goes: standard error and the log, or a webhook."""

    LOG = "log"
    WEBHOOK = "webhook"


_HOLDS = dict(zip(Comparison, (gt, ge, lt, le, eq), strict=True))


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One `[[alerts]]` table of the settings file.

    Attributes:
        metric: one of ALERT_METRICS.
        window_s: seconds up to now that the metric is taken over.
        channels: every one of them is notified.
        urls: of webhooks; they may hold tokens, so they are never shown whole.
        enabled: a rule that is not never fires.
    """

    name: str
    metric: str
    threshold: float
    comparison: Comparison = Comparison.GREATER_THAN
    window_s: float = 3600.0
    severity: Severity = Severity.WARNING
    channels: tuple[Channel, ...] = (Channel.LOG,)
    urls: tuple[str, ...] = ()
    enabled: bool = True

    def is_triggered(self, value: float | None) -> bool:
        """Whether it is enabled and the condition holds; without a value it does not."""
        holds = value is not None and _HOLDS[self.comparison](value, self.threshold)
        return self.enabled and holds

    @property
    def condition(self) -> str:
        """What is compared, for people; the rule fires once while it holds."""
        return condition(self.metric, self.comparison, self.threshold, self.window_s)

    @property
    def notify(self) -> str:
        """The channels' names, with commas between them."""
        return ",".join(self.channels)


def condition(metric: str, comparison: str, threshold: float, window_s: float) -> str:
    """For example `failed_share > 0.1 over 3600 s`."""
    return f"{metric} {comparison} {threshold:g} over {window_s:g} s"

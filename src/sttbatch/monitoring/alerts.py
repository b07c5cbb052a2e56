"""Alerts: rules whose condition is notified once per incident, by one of the runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from operator import eq, ge, gt, le, lt
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.errors import SttbatchError
from sttbatch.core.events import AlertTriggered, Emit, Warned
from sttbatch.core.ports import AlertStore

EVERY_S = 60.0
"""Seconds between evaluations of the rules during a run."""

RETRY_S = 300.0
"""Seconds until an alert that no webhook accepted is delivered again."""

Deliver = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""Post JSON to a URL; raises NotificationError if it is not accepted."""

ALERT_METRICS = {
    "failed_share": "share of requests that failed, 0 to 1; no value without requests",
    "requests": "number of requests",
    "retries": "number of requests that were retries",
    "maybe_paid": "number of failed requests that were possibly billed",
    "latency_p50": "median latency of answers in seconds; no value without answers",
    "latency_p95": "95th percentile of the latency",
    "latency_p99": "99th percentile of the latency",
    "cost": "cost in RUB, possibly billed requests included",
    "audio_seconds": "seconds of audio transcribed",
    "tokens": "tokens that language models read and wrote",
    "jobs_failed": "recordings that failed, and have not been done since",
}
"""The metrics that a rule may compare, and their meaning over a window."""


class Comparison(StrEnum):
    """How a value is compared with a threshold."""

    GREATER_THAN = ">"
    AT_LEAST = ">="
    LESS_THAN = "<"
    AT_MOST = "<="
    EQUAL = "="


class Severity(StrEnum):
    """The severity of a rule, which is shown in every channel and has no other effect."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Channel(StrEnum):
    """Where a notification goes: standard error and the log, or a webhook."""

    LOG = "log"
    WEBHOOK = "webhook"


_HOLDS = dict(zip(Comparison, (gt, ge, lt, le, eq), strict=True))


class AlertRule(Struct, frozen=True):
    """One `[[alerts]]` table of the settings file.

    Attributes:
        metric: one of ALERT_METRICS.
        window_s: seconds up to now over which the metric is computed.
        kind: of the requests or jobs that count; None: all.
        urls: of webhooks; they may contain tokens, so they are never shown in full.
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
    kind: str | None = None

    def is_triggered(self, value: float | None) -> bool:
        """Whether the rule is enabled and its condition holds, which needs a value."""
        holds = value is not None and _HOLDS[self.comparison](value, self.threshold)
        return self.enabled and holds

    @property
    def condition(self) -> str:
        """The condition in words, `failed_share > 0.1 over 3600 s`, which identifies incidents."""
        over = f"over {self.window_s:g} s"
        return f"{self.measured} {self.comparison} {self.threshold:g} {over}"

    @property
    def measured(self) -> str:
        """The metric, and of which kind: `cost of summary`."""
        return self.metric if self.kind is None else f"{self.metric} of {self.kind}"

    @property
    def notify(self) -> str:
        """The channels' names, separated by commas."""
        return ",".join(self.channels)


class AlertEvaluator:
    """Evaluates rules, and notifies once per incident."""

    def __init__(
        self,
        rules: Sequence[AlertRule],
        store: AlertStore,
        deliver: Deliver,
        emit: Emit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._store = store
        self._deliver = deliver
        self._emit = emit
        self._clock = clock
        self._retry_at: dict[AlertRule, float] = {}

    async def evaluate(self) -> None:
        # Concurrently, so that the timeouts of several webhooks do not add up.
        await asyncio.gather(*map(self._evaluate, self._rules))

    async def _evaluate(self, rule: AlertRule) -> None:
        value = await self._store.value(rule.metric, rule.window_s, rule.kind)
        if value is None or not rule.is_triggered(value):
            # A job that is tried again may fail again, which is no new incident.
            value = await self._store.value(rule.metric, rule.window_s, rule.kind, unresolved=True)
            if not rule.is_triggered(value):
                self._retry_at.pop(rule, None)
                await self._store.clear(rule.name, rule.condition)
            return
        if self._clock() < self._retry_at.get(rule, 0.0):
            return
        if not await self._store.fire(rule.name, rule.condition):
            return
        event = triggered(rule, value)
        if Channel.WEBHOOK not in rule.channels:
            self._emit(event)
            return
        # The log has one warning and one alert per incident, even if it is delivered again.
        is_logged = rule in self._retry_at
        if await self._delivered(rule, event, warn=not is_logged):
            self._emit(replace(event, notify=Channel.WEBHOOK) if is_logged else event)
        elif not is_logged:
            self._emit(replace(event, notify=Channel.LOG))

    async def _delivered(self, rule: AlertRule, event: AlertTriggered, *, warn: bool) -> bool:
        """Whether a webhook accepted it; if none did, this run or the next one tries again."""
        facts = payload(event, self._clock())
        results = await asyncio.gather(
            *(self._deliver(url, facts) for url in rule.urls), return_exceptions=True
        )
        for error in results:
            if isinstance(error, SttbatchError):
                if warn:
                    self._emit(Warned("", f"alert {rule.name}: {error}"))
            elif error is not None:
                raise error
        if None in results:
            self._retry_at.pop(rule, None)
            return True
        self._retry_at[rule] = self._clock() + RETRY_S
        await self._store.clear(rule.name, rule.condition)
        return False


def triggered(rule: AlertRule, value: float) -> AlertTriggered:
    """The event for a rule whose condition holds."""
    return AlertTriggered(
        "", rule.name, rule.metric, value, rule.comparison, rule.threshold, rule.window_s,
        rule.severity, rule.notify, rule.kind,
    )  # fmt: skip


def payload(event: AlertTriggered, now: float, *, test: bool = False) -> dict[str, Any]:
    """The JSON object for a webhook; chat services show its `text`."""
    facts = {
        "text": f"sttbatch: {'test of ' if test else ''}{alert_message(event)}",
        "event": "AlertTriggered",
        "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "alert": event.alert,
        "severity": event.severity,
        "metric": event.metric,
        "value": event.value,
        "comparison": event.comparison,
        "threshold": event.threshold,
        "window_seconds": event.window_s,
        "test": test,
    }
    return facts if event.kind is None else facts | {"kind": event.kind}


def alert_message(event: AlertTriggered) -> str:
    """The alert as one line of text."""
    name = "" if event.alert.startswith(f"{event.metric} ") else f"{event.alert}: "
    measured = event.metric if event.kind is None else f"{event.metric} of {event.kind}"
    return (
        f"{event.severity} alert: {name}{measured} is {event.value:.4g} over the last "
        f"{event.window_s:g} s ({event.comparison} {event.threshold:g})"
    )


@contextlib.asynccontextmanager
async def watched(
    evaluator: AlertEvaluator, emit: Emit, every_s: float = EVERY_S
) -> AsyncIterator[None]:
    """Evaluate every `every_s` seconds and once at the end; errors become warnings."""
    over = asyncio.Event()

    async def keep_evaluating() -> None:
        warned = last = False
        while not last:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await over.wait()
            last = over.is_set()
            try:
                await evaluator.evaluate()
            except SttbatchError as error:
                if not warned:
                    emit(Warned("", f"alerts cannot be evaluated: {error}"))
                warned = True

    task = asyncio.create_task(keep_evaluating())
    try:
        yield
        # A notification in progress is completed.
        over.set()
        await task
    finally:
        task.cancel()

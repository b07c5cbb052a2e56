"""Alerts: a condition is notified once per incident, by one of the runs that notice it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sttbatch.core.errors import SttbatchError
from sttbatch.core.events import AlertTriggered, Emit, Warned
from sttbatch.core.ports import AlertStore
from sttbatch.monitoring.alert_rules import AlertRule, Channel

EVERY_S = 60.0
"""How often the rules are evaluated during a run."""

Deliver = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""Post JSON to a URL; raises NotificationError where it is not accepted."""


class AlertEvaluator:
    """Evaluates every rule and notifies of those whose condition came to hold.

    Args:
        clock: seconds since the epoch, for the time in notifications.
    """

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
        self._undelivered: set[AlertRule] = set()

    async def evaluate(self) -> None:
        """Evaluate each rule once.

        Raises:
            StateError: the store cannot be read or written.
        """
        # Together: several webhooks that hang must not add up.
        await asyncio.gather(*map(self._evaluate, self._rules))

    async def _evaluate(self, rule: AlertRule) -> None:
        value = await self._store.value(rule.metric, rule.window_s)
        if value is None or not rule.is_triggered(value):
            # What is being tried again may fail again: that is no new incident.
            value = await self._store.value(rule.metric, rule.window_s, unresolved=True)
            if not rule.is_triggered(value):
                await self._store.clear(rule.name, rule.condition)
            return
        if rule in self._undelivered:
            return
        if await self._store.fire(rule.name, rule.condition, value):
            event = triggered(rule, value)
            if Channel.WEBHOOK in rule.channels and not await self._delivered(rule, event):
                event = dataclasses.replace(event, notify=Channel.LOG)
            self._emit(event)

    async def _delivered(self, rule: AlertRule, event: AlertTriggered) -> bool:
        """Whether a webhook took it: if none did, the next run tries again."""
        facts = payload(event, self._clock())
        results = await asyncio.gather(
            *(self._deliver(url, facts) for url in rule.urls), return_exceptions=True
        )
        for error in results:
            if isinstance(error, SttbatchError):
                self._emit(Warned("", f"alert {rule.name}: {error}"))
            elif error is not None:
                raise error
        if None in results:
            return True
        # One try and one warning a run.
        self._undelivered.add(rule)
        await self._store.clear(rule.name, rule.condition)
        return False


def triggered(rule: AlertRule, value: float) -> AlertTriggered:
    """The event for a rule whose condition came to hold."""
    return AlertTriggered(
        "", rule.name, rule.metric, value, rule.comparison, rule.threshold, rule.window_s,
        rule.severity, rule.notify,
    )  # fmt: skip


def payload(event: AlertTriggered, now: float, *, test: bool = False) -> dict[str, Any]:
    """The JSON object for a webhook. Chat services show its `text`."""
    return {
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


def alert_message(event: AlertTriggered) -> str:
    """One line for people."""
    name = "" if event.alert.startswith(f"{event.metric} ") else f"{event.alert}: "
    return (
        f"{event.severity} alert: {name}{event.metric} is {event.value:.4g} over the last "
        f"{event.window_s:g} s ({event.comparison} {event.threshold:g})"
    )


@contextlib.asynccontextmanager
async def watched(
    evaluator: AlertEvaluator, emit: Emit, every_s: float = EVERY_S
) -> AsyncIterator[None]:
    """Evaluate every `every_s` seconds, and once more at the end; errors become warnings."""
    over = asyncio.Event()
    task = asyncio.create_task(_evaluate_until(over, evaluator, emit, every_s))
    try:
        yield
        # A notification that is under way is completed.
        over.set()
        await task
    finally:
        task.cancel()


async def _evaluate_until(
    over: asyncio.Event, evaluator: AlertEvaluator, emit: Emit, every_s: float
) -> None:
    warned = False
    while True:
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
        if last:
            return

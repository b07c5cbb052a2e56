"""Alerts: each condition is told once until it clears, by one of the runs that notice it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from sttbatch.core.errors import SttbatchError
from sttbatch.core.events import AlertTriggered, Emit, Warned
from sttbatch.database.database import Database
from sttbatch.monitoring.alert_rules import AlertRule, Channel

EVERY_S = 60.0
"""How often the rules are looked at during a run."""

Deliver = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""Post JSON to an address; raises NotificationError where it is not taken."""


class Readings(Protocol):
    """Where metrics are read."""

    async def value(self, metric: str, window_s: float, now: float) -> float | None:
        """The metric over the `window_s` seconds before `now`; None: nothing to measure."""
        ...


class AlertStates:
    """The conditions that hold and were told, in the ledger: all runs share them."""

    FIRE = """INSERT INTO alerts (name, condition, value, fired_at) VALUES (?, ?, ?, ?)
              ON CONFLICT DO NOTHING"""
    CLEAR = "DELETE FROM alerts WHERE name = ? AND condition = ?"
    SINCE = "SELECT fired_at FROM alerts WHERE name = ? AND condition = ?"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fire(self, rule: AlertRule, value: float, now: float) -> bool:
        """Whether it is ours to tell: nobody has, since it held."""
        row = (rule.name, rule.condition, value, now)
        return await self._database.write(lambda db: db.execute(self.FIRE, row).rowcount == 1)

    async def clear(self, rule: AlertRule) -> None:
        key = (rule.name, rule.condition)
        await self._database.write(lambda db: db.execute(self.CLEAR, key))

    async def since(self, rule: AlertRule) -> float | None:
        """When it fired, in seconds since the epoch; None: it does not hold."""
        key = (rule.name, rule.condition)
        row = await self._database.read(lambda db: db.execute(self.SINCE, key).fetchone())
        return None if row is None else float(row[0])


class AlertEvaluator:
    """Looks at every rule and tells what came to hold.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        rules: Sequence[AlertRule],
        readings: Readings,
        states: AlertStates,
        deliver: Deliver,
        emit: Emit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._readings = readings
        self._states = states
        self._deliver = deliver
        self._emit = emit
        self._clock = clock
        self._undelivered: set[AlertRule] = set()

    async def evaluate(self) -> None:
        """Look once.

        Raises:
            StateError: metrics or states cannot be read or written.
        """
        now = self._clock()
        # Together: several webhooks that hang must not add up.
        await asyncio.gather(*(self._evaluate(rule, now) for rule in self._rules))

    async def _evaluate(self, rule: AlertRule, now: float) -> None:
        value = await self._readings.value(rule.metric, rule.window_s, now)
        if value is None or not rule.is_triggered(value):
            await self._states.clear(rule)
            return
        if rule in self._undelivered or not await self._states.fire(rule, value, now):
            return
        event = triggered(rule, value)
        if rule.notify is Channel.WEBHOOK and not await self._delivered(rule, event):
            event = dataclasses.replace(event, notify=Channel.LOG)
        self._emit(event)

    async def _delivered(self, rule: AlertRule, event: AlertTriggered) -> bool:
        try:
            await self._deliver(rule.url or "", payload(event, self._clock()))
        except SttbatchError as error:
            # One try and one warning a run; the next run tries again.
            self._undelivered.add(rule)
            await self._states.clear(rule)
            self._emit(Warned("", f"alert {rule.name}: {error}"))
            return False
        return True


def triggered(rule: AlertRule, value: float) -> AlertTriggered:
    """The event that says so."""
    return AlertTriggered(
        "", rule.name, rule.metric, value, rule.comparison, rule.threshold, rule.window_s,
        rule.severity, rule.notify,
    )  # fmt: skip


def payload(event: AlertTriggered, now: float, *, test: bool = False) -> dict[str, Any]:
    """What a webhook is sent. `text` is what chat services show."""
    return {
        "text": f"sttbatch: {'test of ' if test else ''}{told(event)}",
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


def told(event: AlertTriggered) -> str:
    """For people, in one line."""
    name = "" if event.alert.startswith(f"{event.metric} ") else f"{event.alert}: "
    return (
        f"{event.severity} alert: {name}{event.metric} is {event.value:.4g} over the last "
        f"{event.window_s:g} s ({event.comparison} {event.threshold:g})"
    )


@contextlib.asynccontextmanager
async def watched(
    evaluator: AlertEvaluator, emit: Emit, every_s: float = EVERY_S
) -> AsyncIterator[None]:
    """Evaluate every `every_s` seconds, and once more at the end; problems are warnings."""
    over = asyncio.Event()
    task = asyncio.create_task(_evaluate_until(over, evaluator, emit, every_s))
    try:
        yield
        # What is being told is told to its end.
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

"""A condition is told once until it clears, whoever looks, and whatever the webhook does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sttbatch.core.errors import NotificationError
from sttbatch.core.events import AlertTriggered, Event, Warned
from sttbatch.database.database import Database
from sttbatch.database.opening import open_ledger
from sttbatch.database.session import Session
from sttbatch.monitoring.alert_queries import (
    ANSWERED,
    LATENCY,
    PERCENTILES,
    QUERIES,
    LedgerReadings,
)
from sttbatch.monitoring.alert_rules import METRICS, AlertRule, Channel, Comparison
from sttbatch.monitoring.alerts import AlertEvaluator, AlertStates, watched
from tests.external.cloudru.virtual_time import in_virtual_time

NOW = 1_700_000_000.0
FAILING = AlertRule("requests fail", "failed_share", 0.4)
POST = """INSERT INTO requests
          VALUES (NULL, ?, 'chunk:1', 'cloudru', 'm', ?, 200, ?, 'id', ?, ?, 1, ?, ?,
                  'audio_seconds')"""


@dataclass
class Desk:
    """A ledger, a clock, and what was told."""

    database: Database
    now: float = NOW
    events: list[Event] = field(default_factory=list)
    delivered: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    webhook_fails: bool = False

    def evaluator(self, *rules: AlertRule) -> AlertEvaluator:
        return AlertEvaluator(
            rules,
            LedgerReadings(self.database),
            AlertStates(self.database),
            self.deliver,
            self.events.append,
            lambda: self.now,
        )

    async def deliver(self, url: str, payload: Mapping[str, Any]) -> None:
        if self.webhook_fails:
            raise NotificationError("the webhook at 127.0.0.1 answered 500")
        self.delivered.append((url, payload))

    async def post(
        self,
        *,
        ago_s: float = 1.0,
        attempt: int = 1,
        error: str | None = None,
        latency_s: float = 1.0,
        cost: float = 0.5,
        maybe_paid: bool = False,
    ) -> None:
        row = (self.now - ago_s, attempt, error, latency_s, 30.0, cost, maybe_paid)
        await self.database.write(lambda db: db.execute(POST, row))

    @property
    def fired(self) -> list[str]:
        return [each.alert for each in self.events if isinstance(each, AlertTriggered)]

    @property
    def warnings(self) -> list[str]:
        return [each.message for each in self.events if isinstance(each, Warned)]


def at_desk(folder: Path, story: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        with contextlib.closing(open_ledger(folder)) as database:
            await story(Desk(database))

    asyncio.run(run())


def test_it_fires_once_until_it_clears(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        evaluator = desk.evaluator(FAILING)
        await evaluator.evaluate()
        await desk.post()
        await evaluator.evaluate()
        assert desk.fired == []
        await desk.post(error="503")
        await evaluator.evaluate()
        await evaluator.evaluate()
        # Another run at the same ledger.
        await desk.evaluator(FAILING).evaluate()
        assert desk.fired == ["requests fail"]
        # A stricter rule is another condition.
        await desk.evaluator(AlertRule("requests fail", "failed_share", 0.3)).evaluate()
        assert len(desk.fired) == 2
        desk.now += FAILING.window_s
        await evaluator.evaluate()
        await desk.post(error="503")
        await evaluator.evaluate()
        assert len(desk.fired) == 3

    at_desk(tmp_path, story)


def test_two_runs_that_notice_together_tell_it_once(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.post(error="503")
        with contextlib.closing(open_ledger(tmp_path)) as second:
            other = Desk(second, events=desk.events)
            await asyncio.gather(
                *(each.evaluator(FAILING).evaluate() for each in (desk, other) for _ in range(5))
            )
        assert desk.fired == ["requests fail"]

    at_desk(tmp_path, story)


def test_a_webhook_that_fails_is_one_warning_and_told_by_the_next_run(tmp_path: Path) -> None:
    rule = AlertRule(
        "spending", "cost", 0.4, notify=Channel.WEBHOOK, url="https://127.0.0.1/T0/secret"
    )

    async def story(desk: Desk) -> None:
        desk.webhook_fails = True
        await desk.post()
        evaluator = desk.evaluator(rule)
        for _ in range(3):
            await evaluator.evaluate()
        assert desk.warnings == ["alert spending: the webhook at 127.0.0.1 answered 500"]
        # Told where it can be, even with --quiet.
        assert [each.notify for each in desk.events if isinstance(each, AlertTriggered)] == ["log"]
        desk.webhook_fails = False
        await desk.evaluator(rule).evaluate()
        ((url, payload),) = desk.delivered
        assert url == rule.url
        assert payload["value"] == 0.5
        assert payload["text"] == (
            "sttbatch: warning alert: spending: cost is 0.5 over the last 3600 s (> 0.4)"
        )

    at_desk(tmp_path, story)


@pytest.mark.parametrize(
    ("comparison", "held"),
    [
        (Comparison.GREATER_THAN, [3.0]),
        (Comparison.AT_LEAST, [2.0, 3.0]),
        (Comparison.LESS_THAN, [1.0]),
        (Comparison.AT_MOST, [1.0, 2.0]),
        (Comparison.EQUAL, [2.0]),
    ],
)
def test_comparisons(comparison: Comparison, held: list[float]) -> None:
    rule = AlertRule("a", "requests", 2.0, comparison)
    assert [value for value in (1.0, 2.0, 3.0) if rule.is_triggered(value)] == held
    assert not rule.is_triggered(None)


def test_metrics_are_those_of_the_window(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        readings = LedgerReadings(desk.database)

        async def now(metric: str) -> float | None:
            return await readings.value(metric, 60.0, desk.now)

        for metric in METRICS:
            counts = metric not in {"failed_share", *PERCENTILES}
            assert await now(metric) == (0.0 if counts else None)
        latencies = [0.5, 1.0, 4.0, 2.5]
        for latency_s in latencies:
            await desk.post(latency_s=latency_s)
        await desk.post(error="503", attempt=2, maybe_paid=True, latency_s=99.0)
        await desk.post(ago_s=61.0, error="503", attempt=2, maybe_paid=True)
        assert await now("requests") == 5
        assert await now("failed_share") == pytest.approx(0.2)
        assert await now("retries") == 1
        assert await now("maybe_paid") == 1
        assert await now("cost") == pytest.approx(2.5)
        assert await now("audio_seconds") == pytest.approx(120.0)
        for metric, share in PERCENTILES.items():
            assert await now(metric) == pytest.approx(np.quantile(latencies, share))

    at_desk(tmp_path, story)


def test_every_reading_uses_an_index(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        states = (AlertStates.FIRE, AlertStates.CLEAR, AlertStates.SINCE)
        for statement in (*QUERIES.values(), ANSWERED, LATENCY, *states):

            def plan(db: Session, statement: str = statement) -> list[str]:
                values = ["1"] * statement.count("?")
                rows = db.execute(f"EXPLAIN QUERY PLAN {statement}", values)
                return [row[3] for row in rows]

            assert not [step for step in await desk.database.read(plan) if "SCAN" in step]

    at_desk(tmp_path, story)


def test_it_is_looked_at_during_a_run_and_at_its_end(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        seen = asyncio.Event()

        def emit(event: Event) -> None:
            desk.events.append(event)
            seen.set()

        evaluator = AlertEvaluator(
            [FAILING, AlertRule("sent", "requests", 1.0)],
            LedgerReadings(desk.database),
            AlertStates(desk.database),
            desk.deliver,
            emit,
            lambda: desk.now,
        )
        await desk.post(error="503")
        async with watched(evaluator, emit, every_s=0.001):
            await seen.wait()
        assert desk.fired == ["requests fail"]
        async with watched(evaluator, emit, every_s=3600.0):
            await desk.post()
        assert desk.fired == ["requests fail", "sent"]

    at_desk(tmp_path, story)


def test_it_is_looked_at_every_minute_of_a_run(tmp_path: Path) -> None:
    async def story() -> list[float]:
        loop, third = asyncio.get_running_loop(), asyncio.Event()
        looked_at: list[float] = []

        def clock() -> float:
            looked_at.append(loop.time())
            if len(looked_at) == 3:
                third.set()
            return NOW

        with contextlib.closing(open_ledger(tmp_path)) as database:
            evaluator = AlertEvaluator(
                [FAILING],
                LedgerReadings(database),
                AlertStates(database),
                Desk(database).deliver,
                print,
                clock,
            )
            async with watched(evaluator, print):
                await third.wait()
        return looked_at

    # The last look is the run's end.
    assert in_virtual_time(story()) == pytest.approx([60.0, 120.0, 180.0, 180.0])


def test_a_ledger_that_cannot_be_read_is_one_warning(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        await desk.database.write(lambda db: db.execute("DROP TABLE requests"))
        async with watched(desk.evaluator(FAILING), desk.events.append, every_s=3600.0):
            pass
        assert len(desk.warnings) == 1
        assert desk.warnings[0].startswith("alerts cannot be evaluated: ")

    at_desk(tmp_path, story)

"""A condition is notified once per incident, whoever looks, and whatever the webhook does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from sttbatch.core.errors import NotificationError
from sttbatch.core.events import AlertTriggered, Event, Warned
from sttbatch.database.alerts import (
    ANSWERED,
    CLEAR,
    FIGURES,
    FIRE,
    LATENCY,
    PERCENTILES,
    SINCE,
    Alerts,
)
from sttbatch.database.database import Database
from sttbatch.database.store import Session
from sttbatch.monitoring.alerts import (
    ALERT_METRICS,
    RETRY_S,
    AlertEvaluator,
    AlertRule,
    Channel,
    Comparison,
    watched,
)
from tests.database.backends import Backend
from tests.virtual_time import in_virtual_time

NOW = 1_700_000_000.0
FAILING = AlertRule("requests fail", "failed_share", 0.4)
POST = """INSERT INTO requests (at, chunk_key, engine, model, attempt, status, error, latency_s,
                                quantity, sent_bytes, cost, maybe_paid)
          VALUES (?, 'chunk:1', 'cloudru', 'm', ?, 200, ?, ?, ?, 1, ?, ?)"""


NEW_JOB = """INSERT INTO processing_jobs (id, file_sha256, stream, request_sha256, payload,
                                          created_at) VALUES ('j', 'f', 0, 'r', '{}', ?)"""
START = (
    """UPDATE processing_jobs SET status = 'PROCESSING', worker_id = 'w', claim_number = :claim,
                                  started_at = 1.0""",
    """INSERT INTO processing_tasks (job_id, claim_number, worker_id, started_at)
       VALUES ('j', :claim, 'w', 1.0)""",
)
END = (
    "UPDATE processing_jobs SET status = :status, worker_id = NULL, completed_at = :at",
    "UPDATE processing_tasks SET status = :status, completed_at = :at WHERE claim_number = :claim",
)
REQUEUE = (
    """UPDATE processing_jobs SET status = 'QUEUED', completed_at = NULL,
                                  retry_count = retry_count + 1""",
)


@dataclass
class Clock:
    """Seconds since the epoch, set by hand."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class AlertHarness:
    """A ledger, its clock, and what was told."""

    database: Database
    clock: Clock = field(default_factory=Clock)
    events: list[Event] = field(default_factory=list)
    delivered: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def evaluator(self, *rules: AlertRule) -> AlertEvaluator:
        return AlertEvaluator(
            rules,
            Alerts(self.database),
            self.deliver,
            self.events.append,
            self.clock,
        )

    async def deliver(self, url: str, payload: Mapping[str, Any]) -> None:
        if url in self.broken:
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
        row = (self.clock.now - ago_s, attempt, error, latency_s, 30.0, cost, int(maybe_paid))
        await self.database.write(lambda db: db.execute(POST, row))

    async def job(self, change: Sequence[str], **values: object) -> None:
        """One of the changes above."""

        def write(db: Session) -> None:
            for statement in change:
                db.execute(statement, values)

        await self.database.write(write)

    @property
    def fired(self) -> list[str]:
        return [each.alert for each in self.events if isinstance(each, AlertTriggered)]

    @property
    def warnings(self) -> list[str]:
        return [each.message for each in self.events if isinstance(each, Warned)]


def with_alerts(
    backend: Backend, folder: Path, story: Callable[[AlertHarness], Awaitable[None]]
) -> None:
    async def run() -> None:
        clock = Clock()
        with contextlib.closing(backend.open_ledger(folder, clock)) as database:
            await story(AlertHarness(database, clock))

    asyncio.run(run())


def test_it_fires_once_until_it_clears(backend: Backend, tmp_path: Path) -> None:
    async def story(harness: AlertHarness) -> None:
        evaluator = harness.evaluator(FAILING)
        await evaluator.evaluate()
        await harness.post()
        await evaluator.evaluate()
        assert harness.fired == []
        await harness.post(error="503")
        await evaluator.evaluate()
        await evaluator.evaluate()
        # Another run at the same ledger.
        await harness.evaluator(FAILING).evaluate()
        assert harness.fired == ["requests fail"]
        # A stricter rule is another condition.
        await harness.evaluator(AlertRule("requests fail", "failed_share", 0.3)).evaluate()
        assert len(harness.fired) == 2
        harness.clock.now += FAILING.window_s
        await evaluator.evaluate()
        await harness.post(error="503")
        await evaluator.evaluate()
        assert len(harness.fired) == 3

    with_alerts(backend, tmp_path, story)


def test_two_runs_that_notice_together_tell_it_once(backend: Backend, tmp_path: Path) -> None:
    async def story(harness: AlertHarness) -> None:
        await harness.post(error="503")
        with contextlib.closing(backend.open_ledger(tmp_path, harness.clock)) as second:
            other = AlertHarness(second, harness.clock, harness.events)
            await asyncio.gather(
                *(each.evaluator(FAILING).evaluate() for each in (harness, other) for _ in range(5))
            )
        assert harness.fired == ["requests fail"]

    with_alerts(backend, tmp_path, story)


def test_a_webhook_that_fails_is_one_warning_and_told_by_the_next_run(
    backend: Backend, tmp_path: Path
) -> None:
    url = "https://127.0.0.1/T0/secret"
    rule = AlertRule("spending", "cost", 0.4, channels=(Channel.WEBHOOK,), urls=(url,))

    async def story(harness: AlertHarness) -> None:
        harness.broken = {url}
        await harness.post()
        evaluator = harness.evaluator(rule)
        for _ in range(3):
            await evaluator.evaluate()
        assert harness.warnings == ["alert spending: the webhook at 127.0.0.1 answered 500"]
        # Told where it can be, even with --quiet.
        assert [each.notify for each in harness.events if isinstance(each, AlertTriggered)] == [
            "log"
        ]
        harness.broken = set()
        await harness.evaluator(rule).evaluate()
        ((delivered_to, payload),) = harness.delivered
        assert delivered_to == url
        assert payload["value"] == 0.5
        assert payload["text"] == (
            "sttbatch: warning alert: spending: cost is 0.5 over the last 3600 s (> 0.4)"
        )

    with_alerts(backend, tmp_path, story)


def test_a_long_run_tries_a_webhook_again_and_tells_the_log_nothing_twice(
    backend: Backend, tmp_path: Path
) -> None:
    url = "https://127.0.0.1/T0/secret"
    rule = AlertRule("spending", "cost", 0.4, channels=(Channel.WEBHOOK,), urls=(url,))

    async def story(harness: AlertHarness) -> None:
        harness.broken = {url}
        await harness.post()
        evaluator = harness.evaluator(rule)
        await evaluator.evaluate()
        harness.clock.now += RETRY_S
        await evaluator.evaluate()
        assert len(harness.warnings) == len(harness.fired) == 1
        harness.broken = set()
        await evaluator.evaluate()
        assert harness.delivered == []
        harness.clock.now += RETRY_S
        for _ in range(2):
            await evaluator.evaluate()
        assert [to for to, _ in harness.delivered] == [url]
        events = [each for each in harness.events if isinstance(each, AlertTriggered)]
        assert [each.notify for each in events] == ["log", "webhook"]

    with_alerts(backend, tmp_path, story)


def test_every_channel_is_notified_and_one_webhook_that_took_it_is_enough(
    backend: Backend, tmp_path: Path
) -> None:
    urls = ("https://127.0.0.1/a", "https://127.0.0.1/b")
    rule = AlertRule("spending", "cost", 0.4, channels=(Channel.LOG, Channel.WEBHOOK), urls=urls)

    async def story(harness: AlertHarness) -> None:
        await harness.post()
        harness.broken = {urls[0]}
        await harness.evaluator(rule).evaluate()
        await harness.evaluator(rule).evaluate()
        assert [url for url, _ in harness.delivered] == [urls[1]]
        assert harness.warnings == ["alert spending: the webhook at 127.0.0.1 answered 500"]
        events = [each for each in harness.events if isinstance(each, AlertTriggered)]
        assert [each.notify for each in events] == ["log,webhook"]
        harness.broken = set()
        await harness.evaluator(replace(rule, threshold=0.3)).evaluate()
        assert [url for url, _ in harness.delivered[1:]] == [*urls]

    with_alerts(backend, tmp_path, story)


def test_a_rule_that_is_not_enabled_never_fires(backend: Backend, tmp_path: Path) -> None:
    disabled = replace(FAILING, enabled=False)

    async def story(harness: AlertHarness) -> None:
        await harness.post(error="503")
        await harness.evaluator(FAILING).evaluate()
        # The incident ends with the rule, and is another one when it is enabled again.
        await harness.evaluator(disabled).evaluate()
        assert await Alerts(harness.database).since(FAILING.name, FAILING.condition) is None
        assert harness.fired == ["requests fail"]
        await harness.evaluator(FAILING).evaluate()
        assert len(harness.fired) == 2

    with_alerts(backend, tmp_path, story)


@pytest.mark.parametrize("until_next_run_s", [600.0, 86_400.0])
def test_a_recording_that_fails_in_every_run_is_one_incident(
    backend: Backend, tmp_path: Path, until_next_run_s: float
) -> None:
    """Each run takes it back into the queue: for a while it is neither failed nor done."""
    rule = AlertRule("failing", "jobs_failed", 0.0)

    async def story(harness: AlertHarness) -> None:
        await harness.database.write(lambda db: db.execute(NEW_JOB, (harness.clock.now,)))
        for claim in (1, 2, 3):
            await harness.job(START, claim=claim)
            await harness.evaluator(rule).evaluate()
            await harness.job(END, status="FAILED", at=harness.clock.now, claim=claim)
            await harness.evaluator(rule).evaluate()
            assert harness.fired == ["failing"]
            harness.clock.now += until_next_run_s
            await harness.job(REQUEUE)
            await harness.evaluator(rule).evaluate()
        await harness.job(START, claim=4)
        await harness.job(END, status="COMPLETED", at=harness.clock.now, claim=4)
        await harness.evaluator(rule).evaluate()
        assert await Alerts(harness.database).since(rule.name, rule.condition) is None
        assert harness.fired == ["failing"]

    with_alerts(backend, tmp_path, story)


def test_an_old_failure_that_is_tried_again_is_no_news(backend: Backend, tmp_path: Path) -> None:
    rule = AlertRule("failing", "jobs_failed", 0.0)

    async def story(harness: AlertHarness) -> None:
        await harness.database.write(lambda db: db.execute(NEW_JOB, (harness.clock.now,)))
        await harness.job(START, claim=1)
        await harness.job(END, status="FAILED", at=harness.clock.now, claim=1)
        harness.clock.now += 2 * rule.window_s
        await harness.job(REQUEUE)
        await harness.evaluator(rule).evaluate()
        assert harness.fired == []

    with_alerts(backend, tmp_path, story)


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


def test_metrics_are_those_of_the_window(backend: Backend, tmp_path: Path) -> None:
    async def story(harness: AlertHarness) -> None:
        store = Alerts(harness.database)

        async def now(metric: str) -> float | None:
            return await store.value(metric, 60.0)

        for metric in ALERT_METRICS:
            counts = metric not in {"failed_share", *PERCENTILES}
            assert await now(metric) == (0.0 if counts else None)
        latencies = [0.5, 1.0, 4.0, 2.5]
        for latency_s in latencies:
            await harness.post(latency_s=latency_s)
        await harness.post(error="503", attempt=2, maybe_paid=True, latency_s=99.0)
        await harness.post(ago_s=61.0, error="503", attempt=2, maybe_paid=True)
        assert await now("requests") == 5
        assert await now("failed_share") == pytest.approx(0.2)
        assert await now("retries") == 1
        assert await now("maybe_paid") == 1
        assert await now("cost") == pytest.approx(2.5)
        assert await now("audio_seconds") == pytest.approx(120.0)
        for metric, share in PERCENTILES.items():
            assert await now(metric) == pytest.approx(np.quantile(latencies, share))

    with_alerts(backend, tmp_path, story)


def test_every_reading_uses_an_index(backend: Backend, tmp_path: Path) -> None:
    async def story(harness: AlertHarness) -> None:
        by_name = {"window_s": 1.0, "retried_window_s": 1.0, "below": 0}
        for statement in (*FIGURES.values(), ANSWERED, LATENCY, FIRE, CLEAR, SINCE):
            values = ["1"] * statement.count("?") or by_name
            scans = await backend.scans(harness.database, statement, values)
            assert not [each for each in scans if each.is_whole], statement

    with_alerts(backend, tmp_path, story)


def test_it_is_looked_at_during_a_run_and_at_its_end(backend: Backend, tmp_path: Path) -> None:
    async def story(harness: AlertHarness) -> None:
        seen = asyncio.Event()

        def emit(event: Event) -> None:
            harness.events.append(event)
            seen.set()

        evaluator = AlertEvaluator(
            [FAILING, AlertRule("sent", "requests", 1.0)],
            Alerts(harness.database),
            harness.deliver,
            emit,
        )
        await harness.post(error="503")
        async with watched(evaluator, emit, every_s=0.001):
            await seen.wait()
        assert harness.fired == ["requests fail"]
        async with watched(evaluator, emit, every_s=3600.0):
            await harness.post()
        assert harness.fired == ["requests fail", "sent"]

    with_alerts(backend, tmp_path, story)


def test_it_is_looked_at_every_minute_of_a_run(backend: Backend, tmp_path: Path) -> None:
    async def story() -> list[float]:
        loop, third = asyncio.get_running_loop(), asyncio.Event()
        looked_at: list[float] = []

        class Seen(Alerts):
            async def clear(self, name: str, condition: str) -> None:
                looked_at.append(loop.time())
                if len(looked_at) == 3:
                    third.set()
                await super().clear(name, condition)

        with contextlib.closing(backend.open_ledger(tmp_path, Clock())) as database:
            evaluator = AlertEvaluator(
                [FAILING], Seen(database), AlertHarness(database).deliver, print
            )
            async with watched(evaluator, print):
                await third.wait()
        return looked_at

    # The last look is the run's end.
    assert in_virtual_time(story()) == pytest.approx([60.0, 120.0, 180.0, 180.0])


def test_a_ledger_that_cannot_be_read_is_one_warning(backend: Backend, tmp_path: Path) -> None:
    async def story(harness: AlertHarness) -> None:
        await harness.database.write(lambda db: db.execute("DROP TABLE requests"))
        async with watched(harness.evaluator(FAILING), harness.events.append, every_s=3600.0):
            pass
        assert len(harness.warnings) == 1
        assert harness.warnings[0].startswith("alerts cannot be evaluated: ")

    with_alerts(backend, tmp_path, story)

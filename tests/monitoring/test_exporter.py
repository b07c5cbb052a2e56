"""What Prometheus is told is what both files of state hold, and goes on when one forgets."""

from __future__ import annotations

import contextlib
import math
import random
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.metrics_schema import METRICS_HISTORY
from sttbatch.database.session import Session
from sttbatch.database.sqlite_file import connect
from sttbatch.database.work_ledger import RECORD
from sttbatch.monitoring.expiry import RETENTION_S, expire
from sttbatch.monitoring.exporter import exposition
from sttbatch.monitoring.lifetime_queries import DURATION_BOUNDS_S
from sttbatch.monitoring.lifetime_totals import ALL_TIME, CARRIED, kept
from sttbatch.monitoring.metrics import (
    Metric,
    RunEnd,
    RunFacts,
    insert_end,
    insert_measurements,
    insert_run,
)
from sttbatch.monitoring.statistics import Sources
from tests.monitoring.exposed import families, samples, value

DAY_S = 86_400.0
LABELS = {
    Metric.RETRIES: ("429", "503"),
    Metric.CACHE_LOOKUPS: ("L1", "L3", "miss"),
    Metric.RECORDINGS: ("transcribed", "failed"),
    Metric.AUDIO_SECONDS: ("transcribed", "cached"),
    Metric.CONNECTIONS: ("opened", "reused"),
}


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    with (
        contextlib.closing(connect(tmp_path / "metrics.db", "NORMAL")) as metrics,
        contextlib.closing(connect(tmp_path / "ledger.db")) as ledger,
    ):
        METRICS_HISTORY.apply(metrics)
        LEDGER_HISTORY.apply(ledger)
        yield Sources(metrics, ledger)


def exposed(sources: Sources) -> str:
    return exposition(sources).decode()


def record_run(db: Session, at: float, lot: random.Random, end: RunEnd | None) -> None:
    """A run of a few minutes, with some of everything that is measured."""
    db.execute("BEGIN")
    run = insert_run(db, RunFacts(at, "cloudru", "m", 4, 600, 0.01, "2 recordings in talks"))
    rows = [
        (metric, at + lot.random() * 300, 1000 * place + k, lot.lognormvariate(0, 3), label, "")
        for place, metric in enumerate(Metric)
        for label in LABELS.get(metric, ("",))
        for k in range(len(label), len(label) + 5)
    ]
    insert_measurements(db, run, {(row[0], row[2]): row for row in rows}.values())
    if end is not None:
        insert_end(db, run, at + 300, end)
    db.execute("COMMIT")


def post(
    ledger: Session,
    latency_s: float = 1.0,
    status: int | None = 200,
    error: str | None = None,
    engine: str = "cloudru",
    cost: float = 0.0,
    maybe_paid: int = 0,
) -> None:
    ledger.execute(
        RECORD,
        (0.0, "chunk:a", engine, "m", 1, status, error, None,
         latency_s, 10.0, "audio_seconds", 500, cost, maybe_paid),
    )  # fmt: skip


def test_nothing_that_is_counted_falls_or_rises_when_it_expires(sources: Sources) -> None:
    db, lot = sources.metrics, random.Random(7)
    ends = [RunEnd(2, 0, 0, 0), RunEnd(1, 0, 1, 0), RunEnd(0, 0, 0, 2, "refused"), None]
    for day in range(40):
        record_run(db, day * DAY_S, lot, ends[day % 4])
    before = samples(exposed(sources))
    assert value(exposed(sources), "sttbatch_runs_begun_total") == 40
    for day in range(40, 75):
        db.execute("BEGIN")
        expire(db, day * DAY_S + 100)
        db.execute("COMMIT")
        after = samples(exposed(sources))
        # The gauges of the last run go with it.
        assert all(after[key] == v for key, v in before.items() if "_last_" not in key[0])
    (left,) = db.execute("SELECT count(*) FROM measurements").fetchone()
    assert left == db.execute("SELECT count(*) FROM runs").fetchone()[0] == 0

    record_run(db, 75 * DAY_S, lot, ends[0])
    grown = samples(exposed(sources))
    for name in ("runs_begun_total", "runs_ended_total", "request_retries_total"):
        total = [
            sum(v for (n, _), v in s.items() if n == f"sttbatch_{name}") for s in (before, grown)
        ]
        assert total[1] > total[0]


def test_a_transaction_that_is_undone_counts_nothing_twice(sources: Sources) -> None:
    record_run(sources.metrics, 0.0, random.Random(1), RunEnd(1, 0, 0, 0))
    before = samples(exposed(sources))
    for ending in ("ROLLBACK", "COMMIT"):
        sources.metrics.execute("BEGIN")
        expire(sources.metrics, RETENTION_S + DAY_S)
        sources.metrics.execute(ending)
        after = samples(exposed(sources))
        assert all(after[key] == v for key, v in before.items() if "_last_" not in key[0])


@pytest.mark.parametrize("change", ["UPDATE carried SET count = count - 1", "DELETE FROM carried"])
def test_what_was_carried_is_never_taken_back(sources: Sources, change: str) -> None:
    record_run(sources.metrics, 0.0, random.Random(1), None)
    expire(sources.metrics, RETENTION_S + DAY_S)
    with pytest.raises(sqlite3.IntegrityError, match="never falls"):
        sources.metrics.execute(change)


def test_waits_fall_into_their_buckets(sources: Sources) -> None:
    db = sources.metrics
    run = insert_run(db, RunFacts(0.0, "cloudru", "m", 4, 600, 0.01, ""))
    waits = (0.0, 0.1, 0.1000001, 59.0, 601.0)
    rows = [(Metric.QUEUE_WAIT_SECONDS, float(k), k, wait, "", "") for k, wait in enumerate(waits)]
    insert_measurements(db, run, rows)
    text = exposed(sources)
    name = "sttbatch_queue_wait_seconds"
    for end, count in (
        ("0.005", 1),
        ("0.1", 2),
        ("0.25", 3),
        ("60.0", 4),
        ("600.0", 4),
        ("+Inf", 5),
    ):
        assert value(text, f"{name}_bucket", le=end) == count
    assert value(text, f"{name}_count") == 5
    assert value(text, f"{name}_sum") == pytest.approx(sum(waits))


def test_durations_are_those_of_answers(sources: Sources) -> None:
    lot = random.Random(3)
    latencies = [lot.lognormvariate(1, 2) for _ in range(500)]
    sources.ledger.execute("BEGIN")
    for latency_s in latencies:
        post(sources.ledger, latency_s)
    sources.ledger.execute("COMMIT")
    post(sources.ledger, 30.0, 503, "503: busy")
    text = exposed(sources)
    name = "sttbatch_request_duration_seconds"
    for end in (*DURATION_BOUNDS_S, math.inf):
        shown = "+Inf" if end == math.inf else str(float(end))
        assert value(text, f"{name}_bucket", le=shown) == sum(each <= end for each in latencies)
    assert value(text, f"{name}_sum") == pytest.approx(sum(latencies), abs=1e-3)


def test_requests_by_outcome_and_cause(sources: Sources) -> None:
    ledger = sources.ledger
    post(ledger, cost=0.1)
    post(ledger, cost=0.2)
    post(ledger, error="the answer is no JSON", maybe_paid=1, cost=0.1)
    post(ledger, status=429, error="429: slow down")
    post(ledger, status=None, error="ReadError: connection lost, of a/b.mp3")
    post(ledger, status=None, error="no answer came, given up after 30 s", maybe_paid=1)
    post(ledger, status=None, engine="local")
    text = exposed(sources)
    causes = {
        cause: value(text, "sttbatch_requests_total", outcome="failed", cause=cause)
        for cause in ("unreadable answer", "429", "ReadError", "no answer came", "503")
    }
    assert causes == {
        "unreadable answer": 1, "429": 1, "ReadError": 1, "no answer came": 1, "503": 0,
    }  # fmt: skip
    assert value(text, "sttbatch_requests_total", outcome="answered", engine="cloudru") == 2
    assert value(text, "sttbatch_requests_total") == 7
    assert value(text, "sttbatch_requests_maybe_paid_total") == 2
    assert value(text, "sttbatch_cost_rubles_total") == 0.4
    assert value(text, "sttbatch_upload_bytes_total", engine="cloudru") == 3000
    assert value(text, "sttbatch_sent_audio_seconds_total", engine="cloudru") == 60
    assert value(text, "sttbatch_paid_audio_seconds_total", engine="cloudru") == 40
    assert value(text, "sttbatch_paid_audio_seconds_total", engine="local") == 0
    local = [key for key in samples(text) if ("engine", "local") in key[1]]
    assert not any(("cause", "429") in labels for _, labels in local)


def test_the_last_run(sources: Sources) -> None:
    assert "_last_run_" not in exposed(sources)
    db = sources.metrics
    record_run(db, 1000.0, random.Random(1), RunEnd(3, 1, 0, 2))
    text = exposed(sources)
    assert value(text, "sttbatch_last_run_success") == 1
    assert value(text, "sttbatch_last_run_recordings", outcome="remaining") == 2
    record_run(db, 2000.0, random.Random(2), RunEnd(1, 0, 1, 0))
    record_run(db, 3000.0, random.Random(3), None)
    text = exposed(sources)
    assert value(text, "sttbatch_last_run_success") == 0
    assert value(text, "sttbatch_last_run_begin_timestamp_seconds") == 3000
    assert value(text, "sttbatch_last_run_end_timestamp_seconds") == 2300
    assert value(text, "sttbatch_runs_begun_total") == 3
    assert value(text, "sttbatch_runs_ended_total") == 2


def test_labels_are_few_and_everything_that_lasts_is_there(sources: Sources) -> None:
    record_run(sources.metrics, 0.0, random.Random(1), None)
    found = families(exposed(sources))
    labels = {name for family in found for each in family.samples for name in each.labels}
    assert labels <= {
        "cause", "engine", "event", "finding", "kind", "le", "level", "model", "outcome", "result",
        "state", "version",
    }  # fmt: skip
    assert sum(family.type != "gauge" for family in found) == len(CARRIED) + 2 + 7


def test_a_metric_without_words_of_its_own_is_counted_too(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sttbatch.monitoring.exporter.CARRIED", ("odd_findings",))
    insert_measurements(sources.metrics, 1, [("odd_findings", 0.0, 1, 3.0, "loud", "")])
    assert value(exposed(sources), "sttbatch_odd_findings_total", kind="loud") == 3


def test_what_is_kept_is_found_by_the_order_of_the_rows(sources: Sources) -> None:
    query = ALL_TIME.format(kept=kept(Metric.QUEUE_WAIT_SECONDS))
    row = {"name": "queue_wait_seconds", "before": 1.0}
    plan = " ".join(
        detail for *_, detail in sources.metrics.execute(f"EXPLAIN QUERY PLAN {query}", row)
    )
    assert re.search("SEARCH measurements USING PRIMARY KEY", plan)
    assert re.search("SEARCH carried USING PRIMARY KEY", plan)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("is_empty", [True, False])
def test_prometheus_has_no_complaints(sources: Sources, is_empty: bool) -> None:
    if not is_empty:
        post(sources.ledger)
        record_run(sources.metrics, 0.0, random.Random(1), RunEnd(1, 0, 0, 0))
    result = subprocess.run(
        ["promtool", "check", "metrics"],
        input=exposed(sources), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

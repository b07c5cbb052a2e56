"""Figures agree with numpy's, for one sample and for a million."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sttbatch.database.metrics_schema import METRICS_HISTORY
from sttbatch.database.session import Session
from sttbatch.database.sqlite_file import connect
from sttbatch.monitoring.aggregator import COUNTS, LABELLED, TOTALS, VALUES, Aggregator, Window
from sttbatch.monitoring.expiry import expire
from sttbatch.monitoring.metrics import Metric, RunFacts, insert_measurements, insert_run
from sttbatch.monitoring.statistics import BUSIEST_MINUTE, BUSY, LATENCIES

FACTS = RunFacts(0.0, "cloudru", "m", 4, 600, 0.01, "1 recording in talks")
LATENCY = Metric.REQUEST_SECONDS


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Session]:
    with contextlib.closing(connect(tmp_path / "metrics.db", "NORMAL")) as connection:
        METRICS_HISTORY.apply(connection)
        yield connection


def record(db: Session, values: list[float], label: str = "ok") -> None:
    """One a second, from 0 on."""
    db.execute("BEGIN")
    run = insert_run(db, FACTS)
    rows = ((LATENCY, float(k), k, value, label, "1#0") for k, value in enumerate(values))
    insert_measurements(db, run, rows)
    db.execute("COMMIT")


@pytest.mark.parametrize("count", [1, 2, 3, 100, 1_000_000])
def test_percentiles_are_numpys(db: Session, count: int) -> None:
    lot = random.Random(count)
    values = [lot.lognormvariate(0, 1) for _ in range(count)]
    record(db, values)
    found = Aggregator(db).distribution(LATENCY, Window(0, count))
    assert found.count == count
    assert found.mean == pytest.approx(np.mean(values))
    for percent in (0, 50, 95, 99, 100):
        assert found.percentile(percent) == pytest.approx(np.percentile(values, percent))


def test_a_window_holds_its_begin_and_not_its_end(db: Session) -> None:
    record(db, [1.0, 2.0, 3.0, 4.0])
    aggregator = Aggregator(db)
    assert aggregator.distribution(LATENCY, Window(1, 3)).ordered == [2.0, 3.0]
    assert aggregator.rate(LATENCY, Window(1, 3)) == 2.5


def test_nothing_measured_is_no_figure(db: Session) -> None:
    found = Aggregator(db).distribution(LATENCY, Window(0, 9))
    assert (found.count, found.mean, found.percentile(50)) == (0, None, None)


def test_labels_are_kept_apart(db: Session) -> None:
    record(db, [1.0, 2.0])
    record(db, [7.0], label="503")
    aggregator = Aggregator(db)
    assert aggregator.distribution(LATENCY, Window(0, 9), "ok").ordered == [1.0, 2.0]
    assert aggregator.totals(LATENCY, Window(0, 9)) == {"ok": 3.0, "503": 7.0}
    assert aggregator.counts(LATENCY, Window(0, 9)) == {"ok": 2, "503": 1}


@pytest.mark.parametrize("table", ["measurements", "runs"])
def test_what_was_measured_never_changes(db: Session, table: str) -> None:
    record(db, [1.0])
    column = "value" if table == "measurements" else "lanes"
    with pytest.raises(sqlite3.IntegrityError, match="never changes"):
        db.execute(f"UPDATE {table} SET {column} = 2")


def test_what_is_too_old_goes_and_the_rest_stays(
    db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sttbatch.monitoring.expiry.RETENTION_S", 100.0)
    monkeypatch.setattr("sttbatch.monitoring.expiry.EXPIRED_AT_ONCE", 3)
    record(db, [float(k) for k in range(10)])
    aggregator = Aggregator(db)
    expire(db, now=105.0)
    assert aggregator.distribution(LATENCY, Window(0, 99)).ordered == [3.0, 4, 5, 6, 7, 8, 9]
    expire(db, now=105.0)
    expire(db, now=105.0)
    assert aggregator.distribution(LATENCY, Window(0, 99)).ordered == [5.0, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "query",
    [
        VALUES,
        LABELLED,
        TOTALS,
        COUNTS,
        BUSY,
        BUSIEST_MINUTE,
        LATENCIES.format(group="model"),
    ],
)
def test_every_window_is_found_by_the_order_of_the_rows(db: Session, query: str) -> None:
    row = (LATENCY, 0, 1, "ok")[: query.count("?")]
    plan = [detail for *_, detail in db.execute(f"EXPLAIN QUERY PLAN {query}", row)]
    read = [detail for detail in plan if "measurements" in detail]
    assert read
    assert all("SEARCH measurements USING PRIMARY KEY" in detail for detail in read)

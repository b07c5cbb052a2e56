"""Figures agree with numpy's, for one sample and for a million."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sttbatch.core.errors import StateError
from sttbatch.core.metrics import Metric, RunFacts, Window
from sttbatch.database.database import Database
from sttbatch.database.measurements import (
    BUSIEST_MINUTE,
    BUSY,
    COUNTS,
    LABELLED,
    LATENCIES_BY,
    TOTALS,
    VALUES,
    Measurements,
)
from sttbatch.monitoring.statistics import Aggregator, Distribution
from tests.database.backends import Backend

FACTS = RunFacts(0.0, "cloudru", "m", 4, 600, 0.01)
LATENCY = Metric.REQUEST_SECONDS
NOW = 105.0


@pytest.fixture
def database(backend: Backend, tmp_path: Path) -> Iterator[Database]:
    with contextlib.closing(backend.open_metrics(tmp_path, lambda: NOW)) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> Measurements:
    return Measurements(database, retention_s=100.0, expired_at_once=3)


def record(store: Measurements, values: list[float], label: str = "ok") -> None:
    """One a second, from 0 on."""

    async def write() -> None:
        rows = [(LATENCY, float(k), k, value, label, "1#0") for k, value in enumerate(values)]
        await store.record(await store.begin(FACTS), rows)

    asyncio.run(write())


def distribution(store: Measurements, window: Window, label: str | None = None) -> Distribution:
    return asyncio.run(Aggregator(store).distribution(LATENCY, window, label))


@pytest.mark.parametrize("count", [1, 2, 3, 100, pytest.param(20_000, marks=pytest.mark.slow)])
def test_percentiles_are_numpys(store: Measurements, count: int) -> None:
    lot = random.Random(count)
    values = [lot.lognormvariate(0, 1) for _ in range(count)]
    record(store, values)
    found = distribution(store, Window(0, count))
    assert found.count == count
    assert found.mean == pytest.approx(np.mean(values))
    for percent in (0, 50, 95, 99, 100):
        assert found.percentile(percent) == pytest.approx(np.percentile(values, percent))


def test_a_window_holds_its_begin_and_not_its_end(store: Measurements) -> None:
    record(store, [1.0, 2.0, 3.0, 4.0])
    assert distribution(store, Window(1, 3)).ordered == [2.0, 3.0]
    assert asyncio.run(store.totals(LATENCY, Window(1, 3))) == {"ok": 5.0}


def test_nothing_measured_is_no_figure(store: Measurements) -> None:
    found = distribution(store, Window(0, 9))
    assert (found.count, found.mean, found.percentile(50)) == (0, None, None)


def test_labels_are_kept_apart(store: Measurements) -> None:
    record(store, [1.0, 2.0])
    record(store, [7.0], label="503")
    assert distribution(store, Window(0, 9), "ok").ordered == [1.0, 2.0]
    assert asyncio.run(store.totals(LATENCY, Window(0, 9))) == {"ok": 3.0, "503": 7.0}
    assert asyncio.run(store.counts(LATENCY, Window(0, 9))) == {"ok": 2, "503": 1}


@pytest.mark.parametrize("table", ["measurements", "runs"])
def test_what_was_measured_never_changes(
    database: Database, store: Measurements, table: str
) -> None:
    record(store, [1.0])
    column = "value" if table == "measurements" else "lanes"
    with pytest.raises(StateError, match="never changes"):
        asyncio.run(database.write(lambda db: db.execute(f"UPDATE {table} SET {column} = 2")))


def test_what_is_too_old_goes_and_the_rest_stays(store: Measurements) -> None:
    record(store, [float(k) for k in range(10)])
    asyncio.run(store.expire())
    assert distribution(store, Window(0, 99)).ordered == [3.0, 4, 5, 6, 7, 8, 9]
    asyncio.run(store.expire())
    asyncio.run(store.expire())
    assert distribution(store, Window(0, 99)).ordered == [5.0, 6, 7, 8, 9]


def test_every_window_is_found_by_the_order_of_the_rows(
    backend: Backend, database: Database
) -> None:
    for query in (VALUES, LABELLED, TOTALS, COUNTS, BUSY, BUSIEST_MINUTE, *LATENCIES_BY.values()):
        row = (LATENCY, 0, 1, "ok")[: query.count("?")]
        scans = asyncio.run(backend.scans(database, query, row))
        read = {(each.index, each.is_whole) for each in scans if each.table == "measurements"}
        assert read == {("measurements_pkey", False)}, query

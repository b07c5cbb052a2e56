"""What Prometheus is told is what both stores hold, and goes on when one forgets."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sttbatch.composition.stores import work_ledger
from sttbatch.core.cache_entries import CacheValue
from sttbatch.core.engine import APIRequest
from sttbatch.core.errors import StateError
from sttbatch.core.file_records import RecordingIdentity
from sttbatch.core.metrics import (
    DURATION_BOUNDS_S,
    LIFETIME_METRICS,
    Metric,
    RunEnd,
    RunFacts,
    Window,
)
from sttbatch.core.work import Granted, RequestRecord
from sttbatch.database.database import Database
from sttbatch.database.measurements import LIFETIME, RETENTION_S, Measurements
from sttbatch.database.results import SqlResultStore
from sttbatch.database.usage_queries import UsageFigures
from sttbatch.monitoring.exporter import exposition
from sttbatch.monitoring.statistics import Sources, statistics
from tests.database.backends import Backend
from tests.monitoring.exposed import families, samples, value
from tests.queue import harness as queue

DAY_S = 86_400.0
LABELS = {
    Metric.RETRIES: ("429", "503"),
    Metric.CACHE_LOOKUPS: ("L1", "L3", "miss"),
    Metric.RECORDINGS: ("transcribed", "failed"),
    Metric.AUDIO_SECONDS: ("transcribed", "cached"),
    Metric.CONNECTIONS: ("opened", "reused"),
}


@dataclass
class Stores:
    """Both stores over one clock."""

    metrics: Database
    ledger: Database
    now: float = 0.0

    @property
    def measurements(self) -> Measurements:
        return Measurements(self.metrics)

    @property
    def sources(self) -> Sources:
        return Sources(self.measurements, UsageFigures(self.ledger))

    def exposed(self) -> str:
        return asyncio.run(exposition(self.sources)).decode()

    def expire(self, now: float) -> None:
        self.now = now
        asyncio.run(self.measurements.expire())

    def count(self, table: str) -> int:
        """Rows of a table of metrics.db."""
        query = f"SELECT count(*) FROM {table}"
        found: list[tuple[int]] = asyncio.run(
            self.metrics.read(lambda db: db.execute(query).fetchall())
        )
        return found[0][0]


@pytest.fixture
def stores(backend: Backend, tmp_path: Path) -> Iterator[Stores]:
    def clock() -> float:
        return opened.now

    with (
        contextlib.closing(backend.open_metrics(tmp_path, clock)) as metrics,
        contextlib.closing(backend.open_ledger(tmp_path, time.time)) as ledger,
    ):
        opened = Stores(metrics, ledger)
        yield opened


def record_run(stores: Stores, at: float, lot: random.Random, end: RunEnd | None) -> None:
    """A run of a few minutes, with some of everything that is measured."""
    rows = [
        (metric, at + lot.random() * 300, 1000 * place + k, lot.lognormvariate(0, 3), label, "")
        for place, metric in enumerate(Metric)
        for label in LABELS.get(metric, ("",))
        for k in range(len(label), len(label) + 5)
    ]

    async def write() -> None:
        store = stores.measurements
        run = await store.begin(RunFacts(at, "cloudru", "m", 4, 600, 0.01))
        await store.record(run, {(row[0], row[2]): row for row in rows}.values())
        if end is not None:
            await store.end(run, at + 300, end)

    asyncio.run(write())


POST = """INSERT INTO requests (at, chunk_key, engine, model, attempt, status, error, latency_s,
                                quantity, sent_bytes, cost, maybe_paid)
          VALUES (0.0, 'chunk:a', ?, 'm', 1, ?, ?, ?, 10.0, 500, ?, ?)"""


def measure(stores: Stores, *measurements: tuple[str, float, str]) -> None:
    """(metric, value, label) of one run, one a second."""
    rows = [
        (metric, float(k), k, value, label, "")
        for k, (metric, value, label) in enumerate(measurements)
    ]
    asyncio.run(stores.measurements.record(1, rows))


def post(
    stores: Stores,
    *latencies_s: float,
    status: int | None = 200,
    error: str | None = None,
    engine: str = "cloudru",
    cost: float = 0.0,
    maybe_paid: int = 0,
) -> None:
    """Requests that took so long; one of a second by default."""
    rows = [
        (engine, status, error, latency_s, cost, maybe_paid) for latency_s in latencies_s or (1.0,)
    ]
    asyncio.run(stores.ledger.write(lambda db: db.executemany(POST, rows)))


def test_nothing_that_is_counted_falls_or_rises_when_it_expires(stores: Stores) -> None:
    lot = random.Random(7)
    ends = [RunEnd(2, 0, 0, 0), RunEnd(1, 0, 1, 0), RunEnd(0, 0, 0, 2, "refused"), None]
    for day in range(40):
        record_run(stores, day * DAY_S, lot, ends[day % 4])
    before = samples(stores.exposed())
    assert value(stores.exposed(), "sttbatch_runs_begun_total") == 40
    for day in range(40, 75):
        stores.expire(day * DAY_S + 100)
        after = samples(stores.exposed())
        # The gauges of the last run go with it.
        assert all(after[key] == v for key, v in before.items() if "_last_" not in key[0])
    assert stores.count("measurements") == stores.count("runs") == 0

    record_run(stores, 75 * DAY_S, lot, ends[0])
    grown = samples(stores.exposed())
    for name in ("runs_begun_total", "runs_ended_total", "request_retries_total"):
        total = [
            sum(v for (n, _), v in s.items() if n == f"sttbatch_{name}") for s in (before, grown)
        ]
        assert total[1] > total[0]


def test_a_transaction_that_is_undone_counts_nothing_twice(
    backend: Backend, stores: Stores
) -> None:
    record_run(stores, 0.0, random.Random(1), RunEnd(1, 0, 0, 0))
    before = samples(stores.exposed())
    asyncio.run(backend.refuse(stores.metrics, "BEFORE DELETE ON runs", "not now"))
    with pytest.raises(StateError, match="not now"):
        stores.expire(RETENTION_S + DAY_S)
    assert samples(stores.exposed()) == before
    asyncio.run(backend.allow(stores.metrics))
    stores.expire(RETENTION_S + DAY_S)
    after = samples(stores.exposed())
    assert all(after[key] == v for key, v in before.items() if "_last_" not in key[0])


@pytest.mark.parametrize("change", ["UPDATE carried SET count = count - 1", "DELETE FROM carried"])
def test_what_was_carried_is_never_taken_back(stores: Stores, change: str) -> None:
    record_run(stores, 0.0, random.Random(1), None)
    stores.expire(RETENTION_S + DAY_S)
    with pytest.raises(StateError, match="never falls"):
        asyncio.run(stores.metrics.write(lambda db: db.execute(change)))


def test_rollups_of_older_versions_count_with_those_of_today(stores: Stores) -> None:
    """The upper end of the last bucket was infinity before."""
    rows = [
        ("queue_wait_seconds", "", 0.005, 2, 2_000),
        ("queue_wait_seconds", "", math.inf, 1, 700_000_000),
        ("retries", "503", math.inf, 3, 3_000_000),
    ]
    asyncio.run(
        stores.metrics.write(
            lambda db: db.executemany("INSERT INTO carried VALUES (?, ?, ?, ?, ?)", rows)
        )
    )
    measure(stores, (Metric.QUEUE_WAIT_SECONDS, 601.0, ""), (Metric.RETRIES, 1.0, "503"))
    for now in (0.0, RETENTION_S + DAY_S):
        stores.expire(now)
        text = stores.exposed()
        assert value(text, "sttbatch_request_retries_total", cause="503") == 4
        assert value(text, "sttbatch_queue_wait_seconds_count") == 4
        assert value(text, "sttbatch_queue_wait_seconds_bucket", le="600.0") == 2
        assert value(text, "sttbatch_queue_wait_seconds_sum") == pytest.approx(1301.002)


def test_waits_fall_into_their_buckets(stores: Stores) -> None:
    waits = (0.0, 0.1, 0.1000001, 59.0, 601.0)
    measure(stores, *((Metric.QUEUE_WAIT_SECONDS, wait, "") for wait in waits))
    text = stores.exposed()
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


def test_durations_are_those_of_answers(stores: Stores) -> None:
    lot = random.Random(3)
    latencies = [lot.lognormvariate(1, 2) for _ in range(500)]
    post(stores, *latencies)
    post(stores, 30.0, status=503, error="503: busy")
    text = stores.exposed()
    name = "sttbatch_request_duration_seconds"
    for end in (*DURATION_BOUNDS_S, math.inf):
        shown = "+Inf" if end == math.inf else str(float(end))
        assert value(text, f"{name}_bucket", le=shown) == sum(each <= end for each in latencies)
    assert value(text, f"{name}_sum") == pytest.approx(sum(latencies), abs=1e-3)


def test_requests_by_outcome_and_cause(stores: Stores) -> None:
    post(stores, cost=0.1)
    post(stores, cost=0.2)
    post(stores, error="the answer is no JSON", maybe_paid=1, cost=0.1)
    post(stores, status=429, error="429: slow down")
    post(stores, status=None, error="ReadError: connection lost, of a/b.mp3")
    post(stores, status=None, error="no answer came, given up after 30 s", maybe_paid=1)
    post(stores, status=None, engine="local")
    text = stores.exposed()
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


@pytest.mark.parametrize(
    "request_",
    [
        APIRequest(1.0, 1, 200, 2.0, 500, 60.0, paid=True),
        APIRequest(1.0, 1, 500, 2.0, 500, 60.0, error="500: no"),
    ],
    ids=["answered", "refused"],
)
def test_no_counter_falls_when_it_turns_out_what_became_of_a_request(
    backend_name: str, stores: Stores, tmp_path: Path, request_: APIRequest
) -> None:
    """A run that is gone had it under way, and its end was spooled."""

    async def leave() -> Granted:
        async with queue.opened(queue.Ledger(tmp_path, backend_name)) as harness:
            claim = await harness.claimed(await harness.queued())
            granted = await harness.claim("chunk:1", claim)
        assert isinstance(granted, Granted)
        return granted

    granted = asyncio.run(leave())
    before = samples(stores.exposed())
    value_ = b"{}" if request_.paid else None
    record = RequestRecord(granted.item, request_, value_, granted.worker_id)
    for _ in range(2):
        asyncio.run(work_ledger(stores.ledger, SqlResultStore(stores.ledger)).recover(record))
        after = samples(stores.exposed())
        assert {
            key: (was, after[key])
            for key, was in before.items()
            if key[0].endswith("_total") and after[key] < was
        } == {}
    outcome = "answered" if request_.paid else "failed"
    assert value(stores.exposed(), "sttbatch_requests_total", outcome=outcome) >= 1
    assert value(stores.exposed(), "sttbatch_requests_total") == 2
    assert value(stores.exposed(), "sttbatch_cost_rubles_total") == 1
    (figures,) = asyncio.run(
        UsageFigures(stores.ledger).requests_by("all", Window(0.0, 1e12))
    ).values()
    assert (figures.total, figures.ok, figures.maybe_paid) == (1, int(request_.paid), 0)


def test_no_counter_changes_when_a_recording_is_forgotten(stores: Stores) -> None:
    post(stores, cost=0.1)
    post(stores, status=429, error="429: slow down")
    post(stores, status=None, error="no answer came, given up after 30 s", maybe_paid=1)
    before = stores.exposed()
    results = SqlResultStore(stores.ledger)
    asyncio.run(results.put("chunk:a", CacheValue(b"{}"), "m", "sha"))
    erased = asyncio.run(results.erase_recording(RecordingIdentity(("sha",), (), ())))
    assert erased.keys == ("chunk:a",)
    assert stores.exposed() == before


def test_the_last_run(stores: Stores) -> None:
    assert "_last_run_" not in stores.exposed()
    record_run(stores, 1000.0, random.Random(1), RunEnd(3, 1, 0, 2))
    text = stores.exposed()
    assert value(text, "sttbatch_last_run_success") == 1
    assert value(text, "sttbatch_last_run_recordings", outcome="remaining") == 2
    record_run(stores, 2000.0, random.Random(2), RunEnd(1, 0, 1, 0))
    record_run(stores, 3000.0, random.Random(3), None)
    text = stores.exposed()
    assert value(text, "sttbatch_last_run_success") == 0
    assert value(text, "sttbatch_last_run_begin_timestamp_seconds") == 3000
    assert value(text, "sttbatch_last_run_end_timestamp_seconds") == 2300
    assert value(text, "sttbatch_runs_begun_total") == 3
    assert value(text, "sttbatch_runs_ended_total") == 2


def test_labels_are_few_and_everything_that_lasts_is_there(stores: Stores) -> None:
    record_run(stores, 0.0, random.Random(1), None)
    found = families(stores.exposed())
    labels = {name for family in found for each in family.samples for name in each.labels}
    assert labels <= {
        "cause", "engine", "event", "finding", "kind", "le", "ledger", "level", "model", "outcome",
        "result", "state", "type", "version",
    }  # fmt: skip
    assert sum(family.type != "gauge" for family in found) == len(LIFETIME_METRICS) + 2 + 7 + 3


def test_hits_of_a_level_that_is_new_are_counted_and_shown(stores: Stores) -> None:
    async def write() -> None:
        store = stores.measurements
        run = await store.begin(RunFacts(0, "cloudru", "m", 4, 600, 0.01))
        lookups = ((3.0, "L2b"), (1.0, "miss"))
        await store.record(
            run,
            [
                (Metric.CACHE_LOOKUPS, 1.0, number, count, label, "")
                for number, (count, label) in enumerate(lookups)
            ],
        )

    asyncio.run(write())
    cache = asyncio.run(statistics(stores.sources, Window(0, 9))).cache
    assert (cache.hits["L2b"], cache.hits["L1"], cache.lookups, cache.hit_rate) == (3, 0, 4, 0.75)
    text = stores.exposed()
    assert value(text, "sttbatch_cache_lookups_total", level="L2b", result="hit") == 3
    assert value(text, "sttbatch_cache_lookups_total", level="L1", result="hit") == 0
    assert value(text, "sttbatch_cache_lookups_total") == 4


def test_a_metric_without_words_of_its_own_is_counted_too(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sttbatch.monitoring.exporter.LIFETIME_METRICS", ("odd_findings",))
    measure(stores, ("odd_findings", 3.0, "loud"))
    assert value(stores.exposed(), "sttbatch_odd_findings_total", kind="loud") == 3


def test_what_is_kept_is_found_by_the_order_of_the_rows(backend: Backend, stores: Stores) -> None:
    row = {"name": "queue_wait_seconds", "before": 1.0}
    scans = asyncio.run(backend.scans(stores.metrics, LIFETIME["wait"], row))
    assert {(each.index, each.is_whole) for each in scans} == {
        ("measurements_pkey", False),
        ("carried_pkey", False),
    }


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("is_empty", [True, False])
def test_prometheus_has_no_complaints(stores: Stores, is_empty: bool) -> None:
    if not is_empty:
        post(stores)
        record_run(stores, 0.0, random.Random(1), RunEnd(1, 0, 0, 0))
    result = subprocess.run(
        ["promtool", "check", "metrics"],
        input=stores.exposed(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

"""Workers that a broker tells of jobs: Celery over a real Redis."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import uuid
from pathlib import Path

import pytest
import redis

from tests.cli.celery_programs import (
    DONE,
    ended,
    ledger_of,
    messages,
    start_celery,
    unacknowledged,
    until_unacknowledged,
)
from tests.cli.working import (
    endpoint_of,
    in_flight,
    metrics_port,
    record,
    rows,
    scraped_until,
    until_line,
    until_rows,
    working,
)
from tests.listener import Listener
from tests.monitoring.exposed import value
from tests.otlp_collector import figures, traces
from tests.shell import Shell, texts, words_of


@pytest.mark.parametrize("program", [pytest.param("sttbatch", marks=pytest.mark.slow), "celery"])
def test_a_message_carries_an_id_and_its_job_is_done(
    shell: Shell, broker: redis.Redis, tmp_path: Path, program: str
) -> None:
    truth = record(tmp_path / "talks", 2)
    assert shell.run("submit", tmp_path / "talks").code == 0
    ids = [job_id for (job_id,) in rows(shell, "SELECT id FROM processing_jobs")]
    ((queue, waiting),) = messages(broker).items()
    assert queue.startswith("sttbatch:medium-")
    assert sorted(waiting) == sorted([job_id] for job_id in ids)
    worker = shell.start("worker") if program == "sttbatch" else start_celery(shell)
    with ended(worker):
        until_rows(shell, DONE, [(2,)])
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == (0 if program == "celery" else 128 + signal.SIGTERM)
    assert (messages(broker), unacknowledged(broker)) == ({}, 0)
    assert len(endpoint_of(shell).received) == 2
    for name, words in truth.items():
        assert words_of(tmp_path / "talks" / f"{name}.json") == texts(words)


@pytest.mark.parametrize("program", ["celery", "sttbatch"])
@pytest.mark.slow
def test_its_worker_is_seen_by_prometheus_and_by_a_collector(
    shell: Shell, broker: redis.Redis, tmp_path: Path, program: str
) -> None:
    del broker
    record(tmp_path / "talks", 1)
    with Listener.running() as collector, Listener.running() as receiver:
        shell.extra |= {
            "STTBATCH_METRICS_PORT": "0",
            "STTBATCH_REMOTE_WRITE": f"http://{receiver.address}/api/v1/write",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}",
            "OTEL_METRIC_EXPORT_INTERVAL": "50",
        }
        shell.run("submit", tmp_path / "talks")
        worker = shell.start("worker") if program == "sttbatch" else start_celery(shell)
        with ended(worker):
            text = scraped_until(
                metrics_port(worker),
                lambda text: (
                    value(text, "sttbatch_worker_ledger_up") == 1
                    and value(text, "sttbatch_jobs", state="completed") == 1
                ),
            )
            assert value(text, "sttbatch_worker_lanes") == 4
            receiver.wait_for(lambda: bool(receiver.requests))
            collector.wait_for(lambda: bool(figures(collector)))
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == (0 if program == "celery" else 128 + signal.SIGTERM)
        ((root, children),) = traces(collector).values()
        assert all(root.holds(child) for child in children)
        assert {child.name for child in children} >= {"request", "write"}


def test_a_port_that_is_taken_ends_celery_with_a_word(shell: Shell, broker: redis.Redis) -> None:
    del broker
    with contextlib.closing(socket.create_server(("0.0.0.0", 0))) as taken:
        port = shell.extra["STTBATCH_METRICS_PORT"] = str(taken.getsockname()[1])
        worker = start_celery(shell)
        with ended(worker):
            until_line(worker, f"--metrics-port {port}: address already in use")
            worker.wait(60)


@pytest.mark.parametrize("program", ["sttbatch", pytest.param("celery", marks=pytest.mark.slow)])
def test_a_drained_worker_gives_back_what_it_has_not_begun(
    shell: Shell, broker: redis.Redis, tmp_path: Path, program: str
) -> None:
    count, shell.extra["STTBATCH_CONCURRENCY"] = 8, "1"
    truth = record(tmp_path / "talks", count)
    endpoint_of(shell).hold()
    shell.run("submit", tmp_path / "talks")
    worker = shell.start("worker") if program == "sttbatch" else start_celery(shell)
    with ended(worker):
        in_flight(shell, 1)
        worker.send_signal(signal.SIGTERM)
        until_rows(shell, "SELECT state FROM workers", [("DRAINING",)])
        endpoint_of(shell).resume()
        worker.wait(60)
    ((waiting),) = messages(broker).values()
    left = rows(shell, "SELECT id FROM processing_jobs WHERE status = 'QUEUED'")
    assert {job_id for [job_id] in waiting} >= {job_id for (job_id,) in left}
    assert (len(left), unacknowledged(broker)) == (count - 1, 0)
    other = shell.start("worker")
    with ended(other):
        until_rows(shell, DONE, [(count,)])
    assert len(endpoint_of(shell).received) == count
    for name, words in truth.items():
        assert words_of(tmp_path / "talks" / f"{name}.json") == texts(words)


@pytest.mark.slow
def test_a_late_job_of_high_priority_is_next(
    shell: Shell, broker: redis.Redis, tmp_path: Path
) -> None:
    del broker
    shell.extra["STTBATCH_CONCURRENCY"] = "1"
    record(tmp_path / "talks", 8)
    urgent = record(tmp_path / "urgent", 1, first=8)
    endpoint_of(shell).hold()
    shell.run("submit", tmp_path / "talks", "--priority", "low")
    worker = shell.start("worker", "-q")
    with ended(worker):
        in_flight(shell, 1)
        shell.run("submit", tmp_path / "urgent", "--priority", "high")
        until_rows(
            shell,
            "SELECT count(*) FROM processing_jobs WHERE priority = 3 AND status = 'PROCESSING'",
            [(1,)],
        )
        endpoint_of(shell).resume()
        until_rows(shell, DONE, [(9,)])
    received = [list(post.words) for post in endpoint_of(shell).received]
    # Four were begun: one was being sent, and three were cut.
    assert received.index(texts(urgent["talk-8"])) <= 4


def test_without_its_broker_a_worker_looks_into_the_ledger(shell: Shell, tmp_path: Path) -> None:
    shell.extra["STTBATCH_BROKER_URL"] = "redis://127.0.0.1:9"
    truth = record(tmp_path / "talks", 2)
    submitted = shell.run("submit", tmp_path / "talks")
    assert submitted.code == 0
    assert submitted.err.count("the broker cannot be reached") == 1
    worker = shell.start("worker")
    with ended(worker):
        until_line(worker, "the broker cannot be reached")
        until_rows(shell, DONE, [(2,)])
        worker.send_signal(signal.SIGTERM)
        said = worker.communicate()[1].decode()
    assert "broker cannot" not in said
    for name, words in truth.items():
        assert words_of(tmp_path / "talks" / f"{name}.json") == texts(words)


@pytest.mark.slow
def test_the_last_jobs_are_for_all_free_lanes(
    shell: Shell, broker: redis.Redis, tmp_path: Path
) -> None:
    """No worker keeps a recording waiting while another one has nothing to do."""
    del broker
    record(tmp_path / "talks", 5)
    endpoint_of(shell).hold()
    with working(shell, "-q", "-j", "1"), working(shell, "-q", "-j", "4"):
        until_rows(shell, "SELECT state FROM workers", [("IDLE",), ("IDLE",)])
        shell.run("submit", tmp_path / "talks")
        in_flight(shell, 5)
        endpoint_of(shell).resume()
        until_rows(shell, DONE, [(5,)])


def test_messages_of_a_long_queue_are_not_lost(
    shell: Shell, broker: redis.Redis, tmp_path: Path
) -> None:
    record(tmp_path / "talks", 8)
    endpoint_of(shell).hold()
    shell.run("submit", tmp_path / "talks")
    with ledger_of(shell) as ledger:
        ledger.execute("UPDATE processing_jobs SET rung_at = rung_at - 3600")
    with working(shell, "-j", "1"):
        in_flight(shell, 1)
        ((waiting),) = messages(broker).values()
        assert len(waiting) == 7


@pytest.mark.slow
def test_what_a_drained_worker_had_prepared_is_begun_by_another(
    shell: Shell, broker: redis.Redis, tmp_path: Path
) -> None:
    """Though it is still waiting for an answer."""
    record(tmp_path / "first", 1)
    record(tmp_path / "others", 3, first=1)
    endpoint_of(shell).hold()
    shell.run("submit", tmp_path / "first")
    with working(shell, "-q", "-j", "1") as (first,):
        in_flight(shell, 1)
        shell.run("submit", tmp_path / "others")
        until_rows(shell, "SELECT count(*) FROM processing_tasks", [(4,)])
        with working(shell, "-q", "-j", "1"):
            until_unacknowledged(broker, 1)
            first.send_signal(signal.SIGTERM)
            in_flight(shell, 2)
            assert first.poll() is None
            endpoint_of(shell).resume()
            until_rows(shell, DONE, [(4,)])
    assert len(endpoint_of(shell).received) == 4


@pytest.mark.slow
def test_a_message_that_met_a_broken_ledger_is_given_back(
    shell: Shell, broker: redis.Redis, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    record(one, 1)
    record(other, 1, first=1)
    shell.run("submit", one)
    ((key, _),) = messages(broker).items()
    (message,) = broker.lrange(key, 0, -1)
    with working(shell, "-j", "1") as (worker,):
        until_rows(shell, DONE, [(1,)])
        with ledger_of(shell) as ledger:
            ledger.execute("ALTER TABLE processing_jobs RENAME TO away")
        again = json.loads(message)
        again["properties"]["delivery_tag"] = str(uuid.uuid4())
        broker.lpush(key, json.dumps(again))
        until_line(worker, "for the ledger")
        with ledger_of(shell) as ledger:
            ledger.execute("ALTER TABLE away RENAME TO processing_jobs")
        shell.run("submit", other)
        until_rows(shell, DONE, [(2,)])

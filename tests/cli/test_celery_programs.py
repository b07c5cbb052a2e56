"""Brokers that are none, and Celery's own programs."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import redis

from tests.cli.celery_programs import DONE, celery, ended, messages, start_celery, unacknowledged
from tests.cli.working import endpoint_of, in_flight, record, rows, until_line, until_rows, working
from tests.redis_server import redis_server
from tests.shell import Shell

pytestmark = pytest.mark.usefixtures("shared_redis")


def test_who_may_not_receive_looks_into_the_ledger(shell: Shell, tmp_path: Path) -> None:
    record(tmp_path / "talks", 1)
    with redis_server() as own, redis.Redis.from_url(own.url) as client:
        client.acl_setuser(
            "deaf", enabled=True, passwords=["+word"], categories=["+@all"], commands=["-brpop"],
            keys=["*"], channels=["*"],
        )  # fmt: skip
        shell.extra["STTBATCH_BROKER_URL"] = f"redis://deaf:word@127.0.0.1:{own.port}"
        assert shell.run("submit", tmp_path / "talks").code == 0
        with working(shell) as (worker,):
            assert "word" not in until_line(worker, "the broker delivers no messages")
            until_rows(shell, DONE, [(1,)])


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *(
            pytest.param(url, "not an address that Celery knows", marks=pytest.mark.slow)
            for url in (
                "redis://:s3cr3t@127.0.0.1:port/0",
                "redis://:s3c/r3t@127.0.0.1:9/0",
                "redis://:s3cr3t@127.0.0.1:9/none",
                "redis://127.0.0.1:9/0?password=s3cr3t",
            )
        ),
        ("nobody://user:s3cr3t@db", "not an address that Celery knows"),
        ("memory://", "reaches no other process"),
    ],
)
def test_a_wrong_address_is_wrong_usage(
    shell: Shell, tmp_path: Path, url: str, reason: str
) -> None:
    shell.extra["STTBATCH_BROKER_URL"] = url
    record(tmp_path / "talks", 1)
    for command in (("submit", tmp_path / "talks"), ("worker",), ("workers",)):
        refused = shell.run(*command)
        assert (refused.code, reason in refused.err) == (2, True), refused.err
        assert "r3t" not in refused.err
    assert rows(shell, "SELECT rung_at FROM processing_jobs") == [(None,)]


def test_without_celery_a_broker_is_wrong_usage(shell: Shell, tmp_path: Path) -> None:
    """An installation without the extra `cluster`; a module of its name stands before it."""
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "celery.py").write_text("raise ModuleNotFoundError('No module', name='celery')\n")
    shell.extra |= {"PYTHONPATH": str(missing), "STTBATCH_BROKER_URL": "redis://127.0.0.1:9"}
    record(tmp_path / "talks", 1)
    for command in (("submit", tmp_path / "talks"), ("worker",), ("workers",)):
        refused = shell.run(*command)
        assert refused.code == 2
        assert "broker_url needs celery: pip install 'sttbatch[cluster]'" in refused.err


@pytest.mark.parametrize("how", ["shutdown", "QUIT", "INT INT"])
@pytest.mark.slow
def test_celery_ends_as_it_is_told(
    shell: Shell, broker: redis.Redis, tmp_path: Path, how: str
) -> None:
    """A shutdown by remote control drains, QUIT and the second INT leave at once."""
    record(tmp_path / "talks", 2)
    shell.extra["STTBATCH_CONCURRENCY"] = "1"
    endpoint_of(shell).hold()
    shell.run("submit", tmp_path / "talks")
    worker = start_celery(shell)
    with ended(worker):
        in_flight(shell, 1)
        until_rows(shell, "SELECT count(*) FROM workers WHERE recordings = 2", [(1,)])
        if how == "shutdown":
            assert b"sttbatch.work" in celery(shell, "inspect", "active").stdout
            celery(shell, "control", "shutdown")
            until_rows(shell, "SELECT state FROM workers", [("DRAINING",)])
            endpoint_of(shell).resume()
        else:
            for name in how.split():
                worker.send_signal(signal.Signals[f"SIG{name}"])
                if name == "INT":
                    until_rows(
                        shell, "SELECT DISTINCT state FROM workers WHERE state <> 'DRAINING'", []
                    )
        worker.wait(60)
    left = rows(shell, "SELECT id FROM processing_jobs WHERE status = 'QUEUED'")
    assert len(left) == (1 if how == "shutdown" else 2)
    ((waiting),) = messages(broker).values()
    assert {job_id for [job_id] in waiting} >= {job_id for (job_id,) in left}
    assert unacknowledged(broker) == 0


def test_workers_are_known_to_be_without_a_broker(shell: Shell) -> None:
    shell.extra["STTBATCH_BROKER_URL"] = "redis://:s3cr3t@127.0.0.1:9"
    shown = shell.run("workers")
    assert (shown.code, "the broker cannot be reached" in shown.err) == (0, True)
    assert "s3cr3t" not in shown.err


def test_the_number_of_lanes_is_celerys_concurrency(
    shell: Shell, broker: redis.Redis, tmp_path: Path
) -> None:
    del broker
    with ended(start_celery(shell, "--concurrency", "7")):
        until_rows(shell, "SELECT lanes FROM workers", [(7,)])


@pytest.mark.parametrize(
    "arguments",
    [["--pool", "solo"], pytest.param(["--queues", "celery"], marks=pytest.mark.slow), []],
)
def test_what_celery_cannot_do_is_explained(shell: Shell, arguments: list[str]) -> None:
    if arguments:
        shell.extra["STTBATCH_BROKER_URL"] = "redis://127.0.0.1:9"
    done = celery(shell, "worker", *arguments)
    assert done.returncode not in (0, None)
    said = done.stderr.decode()
    wanted = f"omit {arguments[0]}" if arguments else "STTBATCH_BROKER_URL"
    assert wanted in said

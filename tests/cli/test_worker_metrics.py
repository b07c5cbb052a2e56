"""`sttbatch worker --metrics-port`: what a scrape is told, and when a worker cannot serve it."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests.cloudru import CloudRu
from tests.database.backends import schema_url
from tests.database.postgresql import PostgreSQL
from tests.monitoring.exposed import families, samples, value
from tests.shell import Shell

from .working import endpoint_of, in_flight, metrics_port, record, scraped_until, working

SCRAPED = ("--metrics-port", "0")


@pytest.mark.slow
def test_figures_of_a_worker_and_of_the_ledger_are_told_apart(shell: Shell, tmp_path: Path) -> None:
    folder, urgent = tmp_path / "secret talks", tmp_path / "urgent"
    record(folder, 8)
    record(urgent, 2, first=8)
    endpoint_of(shell).hold()
    with working(shell, "-j", "1", *SCRAPED, count=2) as workers:
        ports = [metrics_port(worker) for worker in workers]
        shell.run("submit", folder)
        in_flight(shell, 2)
        shell.run("submit", urgent, "--priority", "low")
        # Each worker takes four of the first eight.
        told = [
            scraped_until(
                port,
                lambda text: (
                    value(text, "sttbatch_worker_busy_lanes") == 1
                    and value(text, "sttbatch_worker_ledger_up") == 1
                    and value(text, "sttbatch_worker_recordings") == 4
                    and value(text, "sttbatch_queue_jobs") == 2
                    and value(text, "sttbatch_queue_jobs", priority="low") == 2
                    and value(text, "sttbatch_jobs", state="processing") == 8
                ),
            )
            for port in ports
        ]
        for text in told:
            assert value(text, "sttbatch_worker_lanes") == 1
            assert value(text, "sttbatch_worker_draining") == 0
            assert value(text, "sttbatch_workers", state="active") == 2
            assert value(text, "sttbatch_queue_oldest_seconds") > 0
            assert value(text, "sttbatch_workers_heartbeat_age_seconds") >= 0
            assert value(text, "sttbatch_rate_limit_used_ratio") == 0
            assert value(text, "sttbatch_build_info") == 1
            assert "secret" not in text
            for name, labels in samples(text):
                is_own = name.startswith("sttbatch_worker_") or name == "sttbatch_build_info"
                assert is_own != any(label == "ledger" for label, _ in labels), name
        names = {dict(labels)["ledger"] for text in told for _, labels in samples(text)
                 if "ledger" in dict(labels)}  # fmt: skip
        assert len(names) == 1
        exported = shell.run("stats", "--prometheus").out
        assert {dict(labels).get("ledger") for _, labels in samples(exported)} == {None, *names}
        # What stats exports and the worker does not is of runs.
        missing = {each.name for each in families(exported)} - {
            each.name for each in families(told[0])
        }
        assert all(name.startswith("sttbatch_last_run_") for name in missing), missing
        endpoint_of(shell).resume()
        scraped_until(ports[0], lambda text: value(text, "sttbatch_jobs", state="completed") == 10)


def test_the_pool_of_a_shared_ledger(
    home: Path, cloudru: CloudRu, postgresql_server: PostgreSQL, tmp_path: Path
) -> None:
    del postgresql_server
    shell = Shell(home, cloudru, {"STTBATCH_DATABASE_URL": schema_url(tmp_path)})
    with working(shell, *SCRAPED) as (worker,):
        port = metrics_port(worker)
        text = scraped_until(port, lambda text: value(text, "sttbatch_worker_ledger_up") == 1)
        assert value(text, "sttbatch_worker_pool_connections") == 1
        assert value(text, "sttbatch_worker_pool_waiting") == 0
        assert value(text, "sttbatch_worker_pool_requests_total") > 0
        assert value(text, "sttbatch_worker_pool_lost_total") == 0
        assert 'ledger="PostgreSQL ' in text


def test_a_port_that_is_taken(shell: Shell) -> None:
    with closing(socket.create_server(("0.0.0.0", 0))) as taken:
        port = str(taken.getsockname()[1])
        result = shell.run("worker", "--metrics-port", port)
    assert result.code == 2
    assert f"--metrics-port {port}: address already in use" in result.err


def test_without_the_extra_it_says_what_to_install(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "prometheus_client.py").write_text(
        "raise ModuleNotFoundError('no such module', name='prometheus_client')"
    )
    shell.extra["PYTHONPATH"] = str(tmp_path)
    result = shell.run("worker", *SCRAPED)
    assert result.code == 2
    assert "pip install 'sttbatch[prometheus]'" in result.err


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_what_is_no_port(home: Path, port: str) -> None:
    result = Shell(home).run("worker", "--metrics-port", port)
    assert result.code == 2
    assert "--metrics-port" in result.err

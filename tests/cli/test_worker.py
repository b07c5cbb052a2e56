"""`sttbatch worker`: what several of them do with one queue, and how they end."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.cloudru import Status
from tests.shell import Shell, texts, words_of

from .working import (
    endpoint_of,
    in_flight,
    jobs_by_name,
    record,
    rows,
    said,
    until_line,
    until_rows,
    working,
)

STATES = "SELECT state FROM workers"


def test_orders_for_what_is_worked_on_get_their_outputs_and_it_is_paid_once(
    shell: Shell, tmp_path: Path
) -> None:
    folder, other = tmp_path / "talks", tmp_path / "other"
    truth = record(folder, 1)
    endpoint_of(shell).hold()
    shell.run("submit", folder)
    with working(shell):
        in_flight(shell, 1)
        assert shell.run("submit", folder, "-f", "srt", "-o", other).code == 0
        other.mkdir()
        (other / "copy.wav").write_bytes((folder / "talk-0.wav").read_bytes())
        copy = shell.start("submit", other / "copy.wav", "-f", "vtt", "--wait")
        until_line(copy, "1 queued")
        endpoint_of(shell).resume()
        result = shell.finish(copy)
        assert (result.code, result.out) == (0, f"{other}/copy.vtt\n"), result.err
        until_rows(shell, "SELECT count(*), count(done_at), count(error) FROM orders", [(3, 3, 0)])
    assert words_of(folder / "talk-0.json") == texts(truth["talk-0"])
    assert (folder / "talk-0.txt").is_file()
    assert (other / "talk-0.srt").is_file()
    assert len(endpoint_of(shell).received) == 1


def test_the_first_signal_drains_and_the_next_worker_pays_nothing_again(
    shell: Shell, tmp_path: Path
) -> None:
    folder = tmp_path / "talks"
    truth = record(folder, 1, length_s=95.0)
    endpoint_of(shell).hold()
    cut = ("--chunk-duration", "20")
    shell.run("submit", folder, *cut)
    with working(shell, "-j", "2") as (worker,):
        in_flight(shell, 2)
        until_rows(shell, "SELECT state, busy_lanes, recordings FROM workers", [("ACTIVE", 2, 1)])
        (described,) = json.loads(shell.run("workers", "--json").out)
        assert (described["state"], described["lanes"], described["pid"]) == (
            "ACTIVE",
            2,
            worker.pid,
        )
        worker.send_signal(signal.SIGTERM)
        until_line(worker, "stopping")
        until_rows(shell, STATES, [("DRAINING",)])
        endpoint_of(shell).resume()
        assert worker.wait(60) == 128 + signal.SIGTERM
    assert len(endpoint_of(shell).received) == 2
    assert jobs_by_name(shell)["talk-0"]["status"] == "QUEUED"
    assert rows(shell, STATES) == []
    with working(shell):
        assert shell.run("submit", folder, *cut, "--wait").code == 0
    assert words_of(folder / "talk-0.json") == texts(truth["talk-0"])
    assert max(Counter(word for line in said(shell) for word in line.split()).values()) == 1


def test_what_a_killed_worker_held_is_taken_over_at_once(shell: Shell, tmp_path: Path) -> None:
    """The second signal leaves at once, too."""
    folder, first = tmp_path / "talks", ("-j", "2")
    truth = record(folder, 3)
    endpoint_of(shell).hold()
    shell.run("submit", folder)
    with working(shell, *first) as (killed,):
        in_flight(shell, 2)
        with working(shell, *first) as (left,):
            until_rows(shell, "SELECT count(*) FROM workers WHERE state = 'IDLE'", [(1,)])
            killed.kill()
            killed.wait()
            until_rows(
                shell,
                "SELECT count(DISTINCT worker_id) FROM processing_jobs",
                [(1,)],
            )
            endpoint_of(shell).wait_for(lambda e: len(e.received) == 4, timeout_s=60)
            until_rows(shell, "SELECT pid, state FROM workers", [(left.pid, "ACTIVE")])
            left.send_signal(signal.SIGINT)
            until_line(left, "stopping")
            left.send_signal(signal.SIGINT)
            assert left.wait(100) == 128 + signal.SIGINT
    endpoint_of(shell).resume()
    with working(shell):
        assert shell.run("submit", folder, "--wait").code == 0
    for name, words in truth.items():
        assert words_of(folder / f"{name}.json") == texts(words)
    # One chunk each, and what was in flight when two of them ended.
    assert len(endpoint_of(shell).received) <= 3 + 2 + 2


@pytest.mark.slow
def test_priorities_and_cancelled_jobs_count_while_it_works(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    truth = record(folder, 8, length_s=4.0)
    endpoint_of(shell).hold()
    shell.run("submit", folder)
    with working(shell, "-j", "1"):
        in_flight(shell, 1)
        # It has taken as many as it works on at once.
        taken = "SELECT count(*) FROM processing_jobs WHERE status = 'PROCESSING'"
        until_rows(shell, taken, [(4,)])
        jobs = jobs_by_name(shell)
        waiting = sorted(name for name, job in jobs.items() if job["status"] == "QUEUED")
        urgent, dropped = waiting[-1], waiting[0]
        assert shell.run("jobs", "priority", jobs[urgent]["id"], "high").code == 0
        assert shell.run("jobs", "cancel", jobs[dropped]["id"]).code == 0
        # What is more urgent than all of them does not wait for a place.
        until_rows(shell, taken, [(5,)])
        # Long enough to read and cut it meanwhile.
        endpoint_of(shell).latency_s = 0.5
        endpoint_of(shell).resume()
        result = shell.run("submit", folder, "--wait")
        assert result.code == 0, result.err
    order = [
        next(n for n, w in truth.items() if " ".join(texts(w)) == line) for line in said(shell)
    ]
    assert len(order) == 7
    assert dropped not in order
    assert order.index(urgent) < min(order.index(name) for name in waiting[1:-1])


@pytest.mark.slow
def test_an_idle_worker_wakes_within_a_second_and_two_share_a_queue(
    shell: Shell, tmp_path: Path
) -> None:
    endpoint_of(shell).latency_s = 0.5
    with working(shell, "-j", "1", count=2):
        until_rows(shell, STATES, [("IDLE",), ("IDLE",)])
        # Their pauses have grown to the longest.
        time.sleep(3)
        record(tmp_path / "first", 1, first=20, length_s=4.0)
        shell.run("submit", tmp_path / "first")
        (ordered_at,) = rows(shell, "SELECT max(ordered_at) FROM orders")[0]
        until_rows(shell, "SELECT count(done_at) FROM orders", [(1,)])
        (taken_at,) = rows(shell, "SELECT max(started_at) FROM processing_tasks")[0]
        waited_s = float(str(taken_at)) - float(str(ordered_at))
        print(f"an idle worker took what was submitted after {waited_s:.2f} s")
        assert waited_s < 3
        record(tmp_path / "talks", 12, length_s=4.0)
        assert shell.run("submit", tmp_path / "talks", "--wait").code == 0
    assert len(endpoint_of(shell).received) == 13
    shares = rows(
        shell,
        "SELECT count(*) FROM processing_tasks WHERE status = 'COMPLETED' GROUP BY worker_id",
    )
    assert len(shares) == 2, shares


def test_what_nobody_sees_unchanged_fails_after_the_patience(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    record(folder, 3, length_s=4.0)
    shell.run("submit", folder)
    (folder / "talk-0.wav").unlink()
    (folder / "talk-1.wav").write_bytes((folder / "talk-2.wav").read_bytes())
    shell.extra = {"STTBATCH_OUTAGE_WAIT": "2s"}
    with working(shell):
        until_rows(shell, "SELECT count(done_at) FROM orders", [(3,)])
    errors = [str(error) for (error,) in rows(shell, "SELECT error FROM orders ORDER BY path")]
    assert "not seen from" in errors[0]
    assert "other content on" in errors[1]
    assert errors[2] == "None"
    assert len(endpoint_of(shell).received) == 1
    assert {name: job["status"] for name, job in jobs_by_name(shell).items()} == {
        "talk-0": "FAILED",
        "talk-1": "FAILED",
        "talk-2": "COMPLETED",
    }


def test_a_refused_key_ends_it_and_nothing_fails(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    record(folder, 2, length_s=4.0)
    shell.run("submit", folder)
    endpoint_of(shell).faults = lambda _: Status(401)
    result = shell.run("worker")
    assert result.code == 3, result.err
    assert {job["status"] for job in jobs_by_name(shell).values()} == {"QUEUED"}
    assert rows(shell, "SELECT count(done_at) FROM orders") == [(0,)]

"""`sttbatch submit`: it queues, and waits for workers where that is wanted."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.shell import Shell, texts, words_of

from .working import endpoint_of, jobs_by_name, record, rows, until_line, until_rows, working


def test_what_was_submitted_is_transcribed_by_a_worker(shell: Shell, tmp_path: Path) -> None:
    """Nothing is sent before, and no key is needed."""
    folder, out = tmp_path / "talks", tmp_path / "out"
    truth = record(folder, 3)
    keyless = Shell(shell.home)
    keyless.extra = {"STTBATCH_BASE_URL": endpoint_of(shell).base_url}
    given = ("-f", "json,txt,html", "--embed-audio", "-o", out)
    result = keyless.run("submit", folder, *given, "--priority", "high")
    assert (result.code, result.out) == (0, ""), result.err
    assert result.summary == "3 recordings, 0.6 min; 3 queued"
    assert endpoint_of(shell).received == []
    assert rows(shell, "SELECT count(*), sum(done_at IS NULL) FROM orders") == [(3, 3)]
    # The same again is the same orders.
    with working(shell):
        result = shell.run("submit", folder, *given, "--wait")
        assert result.code == 0, result.err
    assert sorted(result.out.split()) == [str(out / f"{name}.json") for name in truth]
    assert "3 recordings done, 0 failed" in result.summary
    for name, words in truth.items():
        assert words_of(out / f"{name}.json") == texts(words)
        assert (out / f"{name}.txt").is_file()
        assert b' src="data:audio/' in (out / f"{name}.html").read_bytes()
    assert len(endpoint_of(shell).received) == 3
    assert rows(shell, "SELECT count(*), sum(done_at IS NULL) FROM orders") == [(3, 0)]
    assert rows(shell, "SELECT DISTINCT status, route FROM processing_jobs") == [
        ("COMPLETED", None)
    ]
    # What is known is written at once, by whoever submits it.
    result = shell.run("submit", folder, "-f", "srt")
    assert (result.code, len(result.out.splitlines())) == (0, 3)
    assert result.summary == "3 recordings, 0.6 min, 3 already transcribed; 0 queued"
    assert (folder / "talk-0.srt").is_file()
    # A run's metrics count what the worker did.
    stats = json.loads(shell.run("stats", "--json").out)
    assert stats["requests"]["ok"] == 3
    assert stats["jobs"]["completed"] == 3


@pytest.mark.slow
def test_the_summary_of_who_waits_counts_each_recording_once(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    record(folder, 2, length_s=4.0)
    waiting = shell.start("submit", folder, "--wait", "--log-format", "json")
    reader = shell.start("submit", folder, "--wait")
    until_line(reader, "2 queued")
    until_rows(shell, "SELECT count(*) FROM orders", [(2,)])
    assert shell.run("jobs", "cancel", jobs_by_name(shell)["talk-0"]["id"]).code == 0
    with working(shell):
        result = shell.finish(waiting)
    facts = json.loads(result.summary)
    counted = ("recordings", "audio_seconds", "known", "failed", "queued", "exit_code")
    assert [facts[name] for name in counted] == [2, 8.0, 0, 0, 2, result.code]
    assert "1 recording done, 0 failed, 1 cancelled" in shell.finish(reader).summary


def test_whoever_finishes_a_job_writes_what_others_ordered(shell: Shell, tmp_path: Path) -> None:
    folder, out = tmp_path / "talks", tmp_path / "out"
    truth = record(folder, 2)
    assert shell.run("submit", folder, "-f", "json", "-o", out).code == 0
    result = shell.transcribe(folder, "-f", "txt")
    assert (result.code, len(result.out.splitlines())) == (0, 2), result.err
    assert "2 recordings done" in result.summary
    for name, words in truth.items():
        assert words_of(out / f"{name}.json") == texts(words)
    assert rows(shell, "SELECT count(*) FROM orders WHERE done_at IS NULL") == [(0,)]
    assert rows(shell, "SELECT count(*) FROM processing_jobs WHERE route IS NOT NULL") == [(0,)]
    assert len(endpoint_of(shell).received) == 2


def test_who_waits_learns_what_failed_and_a_signal_leaves_the_queue_alone(
    shell: Shell, tmp_path: Path
) -> None:
    folder = tmp_path / "talks"
    record(folder, 2)
    (folder / "broken.wav").write_bytes(b"RIFF no recording")
    waiting = shell.start("submit", folder, "--wait")
    assert waiting.stderr is not None
    lines = [waiting.stderr.readline().decode() for _ in range(3)]
    assert "broken.wav: failed" in lines[0]
    assert lines[1] == "3 recordings, 0.4 min, 1 failed; 2 queued\n"
    assert "no worker is running" in lines[2]
    waiting.send_signal(signal.SIGTERM)
    result = shell.finish(waiting)
    assert result.code == 128 + signal.SIGTERM
    assert "2 left to the workers" in result.summary
    assert rows(shell, "SELECT count(*) FROM orders WHERE done_at IS NULL") == [(2,)]


def test_who_waits_learns_that_the_workers_are_for_something_else(
    shell: Shell, tmp_path: Path
) -> None:
    record(tmp_path / "talks", 1, length_s=4.0)
    elsewhere = Shell(shell.home, extra={"STTBATCH_BASE_URL": "https://127.0.0.1:9/v1"})
    with working(shell):
        until_rows(shell, "SELECT state FROM workers", [("IDLE",)])
        waiting = elsewhere.start("submit", tmp_path / "talks", "--wait")
        until_line(waiting, "no worker for this engine and address is running")
        waiting.terminate()
        assert elsewhere.finish(waiting).code == 128 + signal.SIGTERM


def test_what_only_a_run_can_do_is_refused(shell: Shell, tmp_path: Path) -> None:
    record(tmp_path / "talks", 1)
    for options, reason in (
        (("-o", "-"), "workers cannot print"),
        (("--max-cost", "1"), "budget_per_day"),
        (("--fail-fast",), "jobs cancel"),
        (("--device", "cpu"), "set STTBATCH_DEVICE where it runs"),
    ):
        result = shell.run("submit", tmp_path / "talks", *options)
        assert (result.code, reason in result.err) == (2, True), result.err
    forecast = shell.run("submit", tmp_path / "talks", "--dry-run")
    assert (forecast.code, "would send 1 chunk" in forecast.out) == (0, True)
    assert rows(shell, "SELECT count(*) FROM orders") == [(0,)]

"""The log: for scripts, for people, in a file, and nowhere with --quiet."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import CloudRu, Status, in_turn, make_recording
from tests.shell import Shell


@pytest.fixture
def talk(home: Path) -> str:
    make_recording(home / "talk.wav", duration_s=11, sample_rate=8_000, channels=1)
    return "talk.wav"


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_support_is_told_the_id_of_a_failed_request_by_log_and_job(shell: Shell, talk: str) -> None:
    assert shell.endpoint is not None
    shell.endpoint.faults = in_turn([Status(400, headers={"x-request-id": "req-7f3a"})])
    result = shell.transcribe(talk, "--log-format", "json")
    (request,) = (each for each in objects(result.err) if each["event"] == "APIRequestCompleted")
    assert request["request_id"] == "req-7f3a"
    found = json.loads(shell.run("jobs", "show", request["job"], "--json").out)
    assert [each["request_id"] for each in found["chunks"]] == ["req-7f3a"]
    assert "req-7f3a" in shell.run("jobs", "show", request["job"]).out


def test_each_line_says_which_job_chunk_and_request(shell: Shell, talk: str) -> None:
    result = shell.transcribe(talk, "--log-format", "json")
    assert (result.code, result.out) == (0, "talk.txt\n")
    lines = objects(result.err)
    assert all({"time", "event"} <= line.keys() for line in lines)
    (post,) = (line for line in lines if line["event"] == "APIRequestCompleted")
    assert post["chunk"] == 0
    assert "request_id" in post
    (job,) = json.loads(shell.run("jobs", "list", "--json").out)
    assert post["job"] == job["id"]
    last = lines[-1]
    assert last.pop("wall_seconds") > 0
    del last["time"]
    assert last == {
        "event": "summary",
        "exit_code": 0,
        "error": None,
        "done": 1,
        "failed": 0,
        "left": 0,
        "taken": 0,
        "cancelled": 0,
        "from_cache": 0,
        "skipped": 0,
        "too_young": 0,
        "dropped": 0,
        "replaced": 0,
        "audio_seconds": pytest.approx(11, abs=0.1),
        "chunks_sent": 1,
        "cost": pytest.approx(0.11, abs=0.001),
        "maybe_paid": 0,
    }


@pytest.mark.parametrize(
    ("change", "arguments", "code"),
    [
        ({"CLOUDRU_API_KEY": ""}, ["talk.wav"], 2),
        ({"CLOUDRU_API_KEY": "wrong"}, ["talk.wav"], 3),
        ({}, ["absent.wav"], 2),
        ({}, ["talk.wav", "--max-cost", "0"], 4),
    ],
)
def test_the_last_object_is_there_whatever_ended_the_run(
    shell: Shell, talk: str, change: dict[str, str], arguments: list[str], code: int
) -> None:
    shell.extra |= change
    result = shell.transcribe(*arguments, "-q", "--log-format", "json")
    assert (result.code, result.out) == (code, "")
    last = objects(result.err)[-1]
    assert (last["event"], last["exit_code"]) == ("summary", code)
    assert last["error"]


def summary(text: str) -> dict[str, Any]:
    last = objects(text)[-1]
    assert last["event"] == "summary"
    return last


@pytest.mark.slow
def test_a_forecast_and_an_empty_folder_are_summed_up(shell: Shell, home: Path, talk: str) -> None:
    (home / "empty").mkdir()
    quiet = ("-q", "--log-format", "json")
    forecast = shell.transcribe(talk, "--dry-run", *quiet[1:])
    assert (forecast.code, summary(forecast.err)["exit_code"]) == (0, 0)
    wanted = {"recordings": 1, "chunks": 1, "audio_seconds": 11.0, "cost": 0.11}
    assert summary(forecast.err)["would_send"].items() >= wanted.items()
    assert forecast.out.splitlines()[-1].startswith("would send 1 chunk,")
    nothing = shell.transcribe("empty", *quiet[1:])
    assert (nothing.code, summary(nothing.err)["done"]) == (0, 0)
    for command in ([talk, "--dry-run"], ["empty"]):
        silent = shell.transcribe(*command, *quiet)
        assert (silent.code, silent.out, silent.err) == (0, "", "")
    (home / "empty" / "broken.mp3").write_bytes(b"no audio")
    failing = shell.transcribe("empty", "--dry-run", *quiet)
    assert (failing.code, failing.out) == (1, "")
    assert [line["event"] for line in objects(failing.err)] == ["JobFailed", "summary"]


@pytest.mark.parametrize("options", [pytest.param((), marks=pytest.mark.slow), ("-q",)])
def test_a_signal_is_summed_up(
    shell: Shell, cloudru: CloudRu, talk: str, options: tuple[str, ...]
) -> None:
    cloudru.latency_s = 600.0
    process = shell.start("transcribe", talk, "--log-format", "json", *options)
    cloudru.wait_for(lambda e: any(post.body_read_at_s for post in e.received), timeout_s=60)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    result = shell.finish(process)
    # Of two that wait for a process the kernel delivers the lower number first.
    assert result.code in {128 + signal.SIGTERM, 128 + signal.SIGINT}, result.err
    assert result.out == ""
    last = summary(result.err)
    assert (last["exit_code"], last["left"], last["maybe_paid"]) == (result.code, 1, 1)
    assert options == () or len(objects(result.err)) == 1


def test_a_signal_before_anything_was_found_is_summed_up(shell: Shell, home: Path) -> None:
    os.mkfifo(home / "names")
    process = shell.start("transcribe", "--files-from", "names", "--log-format", "json", "-q")
    # Opened as soon as the other side reads, which goes on until this is closed.
    with (home / "names").open("wb"):
        process.send_signal(signal.SIGHUP)
        result = shell.finish(process)
    assert (result.code, result.out) == (128 + signal.SIGHUP, "")
    assert summary(result.err)["exit_code"] == result.code
    assert len(objects(result.err)) == 1


def test_quiet_lets_failures_through(shell: Shell, cloudru: CloudRu, talk: str) -> None:
    well = shell.transcribe(talk, "-q", "--log-format", "json", "--format", "txt")
    assert (well.code, well.out, well.err) == (0, "", "")
    cloudru.faults = lambda _: Status(400)
    ill = shell.transcribe(talk, "-q", "--log-format", "json", "--force")
    assert ill.code == 1
    names = [line["event"] for line in objects(ill.err)]
    assert names == ["ChunkProcessingFailed", "JobFailed", "summary"]


def test_people_read_sentences(shell: Shell, talk: str) -> None:
    result = shell.transcribe(talk, "-v")
    lines = [line.split(" ", 2)[2] for line in result.err.splitlines()[:-1]]
    assert "talk.wav: queued, 11.0 s" in lines
    assert any(line.startswith("talk.wav: chunk 0: answer 200 after ") for line in lines)
    assert "talk.wav: written: talk.txt, talk.json" in lines
    assert result.summary.startswith("1 recording done")
    assert result.err.count("talk.wav: done") == 1


def test_a_file_takes_the_log_of_every_run(shell: Shell, home: Path, talk: str) -> None:
    log = home / "sttbatch.log"
    options = ("-q", "--log-file", log, "--log-format", "json")
    for _ in range(2):
        result = shell.transcribe(talk, *options)
        assert (result.code, result.out, result.err) == (0, "", "")
    assert log.stat().st_mode & 0o777 == 0o600
    assert [line["done"] for line in objects(log.read_text()) if "done" in line] == [1, 1]
    missing = shell.transcribe(talk, "--log-file", home / "absent" / "log")
    assert missing.code == 2
    assert "--log-file" in missing.err


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="needs /dev/full")
def test_a_log_on_a_full_disk_costs_no_answer(shell: Shell, talk: str) -> None:
    result = shell.transcribe(talk, "--log-file", "/dev/full")
    assert result.code == 0, result.err
    assert (shell.home / "talk.txt").is_file()

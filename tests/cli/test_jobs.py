"""`sttbatch jobs` as its users meet it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sttbatch.core.jobs import Job, JobPriority, JobStatus
from tests.cloudru import KEY, Received, make_recording
from tests.queue.harness import Clock, Harness, Ledger, contenders, in_harness, spec
from tests.shell import Result, Shell, texts, words_of

LONG_AGO = 1_700_000_000.0


@pytest.fixture
def bare(home: Path) -> Shell:
    """No endpoint, no key."""
    (home / "data").mkdir()
    return Shell(home)


@pytest.fixture
def jobs(bare: Shell) -> dict[str, Job]:
    """One of each: queued, dead (no retries left), failed, done, cancelled."""

    async def fill(harness: Harness) -> dict[str, Job]:
        made = {}
        for name in ("dead", "failed", "done", "cancelled", "queued"):
            harness.clock.now += 60
            made[name] = await harness.queued(name, max_retries=0 if name == "dead" else 3)
        for name in ("dead", "failed"):
            claim = await harness.claimed(made[name])
            await harness.jobs.fail(claim, "the endpoint said \x1b[31m500")
        claim = await harness.claimed(made["done"])
        granted: Any = await harness.claim("chunk:" + "c" * 64, claim)
        await harness.answer(granted)
        await harness.jobs.complete(claim)
        await harness.queue.cancel(made["cancelled"].id)
        return made

    return in_harness(Ledger(bare.home / "data"), fill, Clock(LONG_AGO))


@pytest.mark.slow
def test_a_job_that_is_cancelled_during_its_run_stays_cancelled(shell: Shell, folder: Path) -> None:
    count = 6
    for number in range(count):
        make_recording(
            folder / f"talk-{number}.wav",
            duration_s=11.0,
            sample_rate=8_000,
            channels=1,
            first_word=100 * number,
        )
    endpoint = shell.endpoint
    assert endpoint is not None
    cancelled: list[str] = []

    def cancel_one(post: Received) -> None:
        """While the first chunk is sent, most jobs still wait."""
        if not cancelled:
            waiting = list(listed(shell, "--status", "queued").values())
            cancelled.append(waiting[-1]["id"])
            assert shell.run("jobs", "cancel", cancelled[0]).code == 0

    endpoint.faults = cancel_one
    shell.transcribe(folder, "-j", "1")
    assert len(endpoint.received) == count - 1
    payloads = Ledger(shell.home / "data").rows("SELECT payload FROM processing_jobs")
    assert all('"version": 2' in str(text) and KEY not in str(text) for (text,) in payloads)
    states = {job["id"]: job["status"] for job in listed(shell).values()}
    assert states.pop(cancelled[0]) == "CANCELLED"
    assert set(states.values()) == {"COMPLETED"}
    # Nor does another run bring it back.
    shell.transcribe(folder)
    assert len(endpoint.received) == count - 1
    assert shell.run("jobs", "retry", cancelled[0]).code == 0
    assert shell.transcribe(folder).code == 0
    assert len(endpoint.received) == count


def listed(shell: Shell, *options: str) -> dict[str, dict[str, Any]]:
    """Jobs by recording."""
    result = shell.run("jobs", "list", "--json", *options)
    assert result.code == 0, result.err
    return {job["recording"]: job for job in json.loads(result.out)}


def statuses(shell: Shell) -> dict[str, str]:
    return {name.removesuffix(".mp3"): job["status"] for name, job in listed(shell).items()}


def refused(result: Result, *words: str) -> None:
    assert (result.code, result.out) == (2, ""), result
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err


def test_a_list_for_people_and_one_for_programs(bare: Shell, jobs: dict[str, Job]) -> None:
    head, *lines = bare.run("jobs", "list").out.splitlines()
    columns = ["ID", "STATUS", "DEAD", "PRIORITY", "RETRIES", "CREATED", "LENGTH", "RECORDING"]
    assert head.split() == columns
    assert [line.split()[-1] for line in lines] == [
        f"{name}.mp3" for name in ("queued", "cancelled", "done", "failed", "dead")
    ]
    assert [line.split()[1:3] for line in lines[-2:]] == [["FAILED", "medium"], ["FAILED", "yes"]]
    assert "FAILED, no retries left" in bare.run("jobs", "show", jobs["dead"].id).out
    assert lines[0].startswith(jobs["queued"].short_id)
    everything = listed(bare)
    assert everything["dead.mp3"]["dead_letter"] is True
    assert everything["queued.mp3"] | {} == {
        "id": jobs["queued"].id,
        "kind": "transcription",
        "recording": "queued.mp3",
        "audio_s": 60.0,
        "quantity": 60.0,
        "unit": "audio_seconds",
        "request": {},
        "file_sha256": "queued" * 64,
        "stream": 0,
        "request_sha256": "request",
        "status": "QUEUED",
        "priority": "medium",
        "retry_count": 0,
        "max_retries": 3,
        "dead_letter": False,
        "claim_number": 0,
        "worker_id": None,
        "worker_alive": None,
        "created_at": "2023-11-14T22:18:20+00:00",
        "started_at": None,
        "completed_at": None,
        "error_message": None,
    }
    assert set(listed(bare, "--status", "failed")) == {"dead.mp3", "failed.mp3"}
    assert set(listed(bare, "--limit", "1")) == {"queued.mp3"}


def test_the_list_is_in_the_order_of_the_queue(bare: Shell) -> None:
    async def fill(harness: Harness) -> None:
        made = {}
        for name in ("low", "early", "done", "late", "failed", "high", "cancelled"):
            harness.clock.now += 60
            made[name] = await harness.queued(name)
        await harness.queue.set_priority(made["low"].id, JobPriority.LOW)
        await harness.queue.set_priority(made["high"].id, JobPriority.HIGH)
        # They end in another order than they were made in.
        for name in ("failed", "done", "cancelled"):
            harness.clock.now += 60
            if name == "cancelled":
                await harness.queue.cancel(made[name].id)
                continue
            claim = await harness.claimed(made[name])
            if name == "failed":
                await harness.jobs.fail(claim, "it cannot be read")
            else:
                await harness.jobs.complete(claim)

    in_harness(Ledger(bare.home / "data"), fill, Clock(LONG_AGO))
    ended = ["cancelled", "done", "failed"]
    assert list(statuses(bare)) == ["high", "early", "late", "low", *ended]
    assert list(listed(bare, "--limit", "5")) == [
        f"{name}.mp3" for name in ("high", "early", "late", "low", "cancelled")
    ]
    data = bare.home / "data"
    (low,) = (job for name, job in listed(bare).items() if name == "low.mp3")
    with contenders(1, "hold", Ledger(data), low["id"], "chunk:1") as (holder,):
        assert holder.line() == "held"
        assert list(statuses(bare)) == ["low", "high", "early", "late", *ended]


def test_one_job_with_its_attempts_chunks_and_errors(bare: Shell, jobs: dict[str, Job]) -> None:
    done = bare.run("jobs", "show", jobs["done"].short_id)
    assert done.code == 0, done.err
    for part in (jobs["done"].id, "done.mp3", "COMPLETED", "1/1", "chunk:cccccccccccc"):
        assert part in done.out
    failed = bare.run("jobs", "show", jobs["failed"].id)
    assert "error:     the endpoint said \\x1b[31m500" in failed.out
    found = json.loads(bare.run("jobs", "show", jobs["done"].short_id, "--json").out)
    assert found["id"] == jobs["done"].id
    assert [(each["status"], each["completed_chunks"]) for each in found["passes"]] == [
        ("COMPLETED", 1)
    ]
    assert [(each["index"], each["status"]) for each in found["chunks"]] == [(0, "COMPLETED")]


@pytest.mark.parametrize("end", ["RELEASED", "FAILED"])
def test_an_attempt_that_was_given_up_has_no_number_of_chunks(bare: Shell, end: str) -> None:
    """Those that it would have claimed later are not counted."""

    async def fill(harness: Harness) -> Job:
        job = await harness.queued()
        claim = await harness.claimed(job)
        granted: Any = await harness.claim("chunk:1", claim)
        await harness.answer(granted)
        unanswered: Any = await harness.claim("chunk:2", claim, 1)
        await harness.ledger.give_up(unanswered, "the run stops")
        if end == "RELEASED":
            await harness.jobs.release(claim)
        else:
            await harness.jobs.fail(claim, "the endpoint said 500")
        return job

    job = in_harness(Ledger(bare.home / "data"), fill)
    shown = bare.run("jobs", "show", job.id).out
    assert re.search(rf"^1 +{end} +1 done ", shown, re.MULTILINE), shown


def test_retry_queues_one_or_all_that_failed(bare: Shell, jobs: dict[str, Job]) -> None:
    dead = jobs["dead"]
    result = bare.run("jobs", "retry", dead.short_id)
    assert (result.code, result.out) == (0, f"queued {dead.short_id} dead.mp3\n")
    assert listed(bare)["dead.mp3"]["retry_count"] == 0
    assert bare.run("jobs", "retry", jobs["cancelled"].id).code == 0
    (failed,) = json.loads(bare.run("jobs", "retry", "--failed", "--json").out)
    assert (failed["recording"], failed["status"], failed["retry_count"]) == (
        "failed.mp3",
        "QUEUED",
        1,
    )
    assert bare.run("jobs", "retry", "--failed").out == "no job failed\n"
    assert set(statuses(bare).values()) == {"QUEUED", "COMPLETED"}
    refused(bare.run("jobs", "retry", jobs["done"].id), "--force")
    refused(bare.run("jobs", "retry"), "--failed")
    refused(bare.run("jobs", "retry", dead.id, "--failed"))


def test_priority_and_cancel_are_for_what_waits(bare: Shell, jobs: dict[str, Job]) -> None:
    queued = jobs["queued"]
    result = bare.run("jobs", "priority", queued.short_id, "high")
    assert result.out == f"priority high {queued.short_id} queued.mp3\n"
    assert listed(bare)["queued.mp3"]["priority"] == "high"
    refused(bare.run("jobs", "priority", queued.id, "urgent"), "high|medium|low", "'urgent'")
    refused(bare.run("jobs", "priority", jobs["done"].id, "low"), "COMPLETED")
    assert bare.run("jobs", "cancel", queued.short_id).code == 0
    assert statuses(bare)["queued"] == "CANCELLED"
    refused(bare.run("jobs", "cancel", queued.short_id), "and cannot become CANCELLED")


def test_purge_keeps_what_is_young_failed_or_queued_unless_told_to_remove_all(
    bare: Shell, jobs: dict[str, Job]
) -> None:
    assert len(jobs) == 5
    assert bare.run("jobs", "purge", "--older-than", "36500d").out == "0 jobs removed\n"
    assert json.loads(bare.run("jobs", "purge", "--json").out) == {"removed": 2}
    assert set(statuses(bare)) == {"dead", "failed", "queued"}
    # What waits for a recording that is gone would wait for ever.
    assert bare.run("jobs", "purge", "--all").out == "3 jobs removed\n"
    assert statuses(bare) == {}
    refused(bare.run("jobs", "purge", "--older-than", "soon"), "--older-than soon", "such as 90")


def test_a_job_at_work_is_left_to_its_process_until_that_dies(bare: Shell) -> None:
    data = bare.home / "data"
    job = in_harness(Ledger(data), lambda harness: harness.queued())
    with contenders(1, "hold", Ledger(data), job.id, "chunk:1") as (holder,):
        assert holder.line() == "held"
        pid = str(holder.process.pid)
        refused(bare.run("jobs", "cancel", job.short_id), f"is being processed by PID {pid}")
        shown = bare.run("jobs", "show", job.id).out
        assert f"PID {pid} on" in shown
        # How many there will be is not known while it is being cut.
        assert "0 done" in shown
        assert "0/1" not in shown
        assert bare.run("jobs", "purge", "--all").out == "0 jobs removed\n"
        assert listed(bare)["a.mp3"]["worker_alive"] is True
        holder.kill()
        assert "QUEUED, its run was killed" in bare.run("jobs", "list").out
        assert listed(bare)["a.mp3"]["worker_alive"] is False
        assert bare.run("jobs", "cancel", job.short_id).code == 0
    assert statuses(bare) == {"a": "CANCELLED"}


@pytest.mark.parametrize(
    ("command", "unknown"),
    [
        ("show", "0000"),
        ("retry", ""),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("show", ""), ("retry", "0000"), ("cancel", "0000"), ("cancel", ""))
        ),
    ],
)
def test_an_unknown_id_is_wrong_usage(
    bare: Shell, jobs: dict[str, Job], command: str, unknown: str
) -> None:
    assert not any(job.id.startswith("0000") for job in jobs.values())
    refused(bare.run("jobs", command, unknown), f"there is no job '{unknown}'")


def test_names_that_are_no_utf8_are_escaped(bare: Shell) -> None:
    name = "sp\udcffch\n.mp3"

    async def fill(harness: Harness) -> None:
        await harness.jobs.enqueue("f", 0, "r", spec(name))

    in_harness(Ledger(bare.home / "data"), fill)
    assert r"sp\udcffch\n.mp3" in bare.run("jobs", "list").out
    assert set(listed(bare, "--status", JobStatus.QUEUED)) == {name}


def test_budgets_are_settings_but_not_a_folders(bare: Shell) -> None:
    bare.extra = {"STTBATCH_BUDGET_PER_DAY": "100", "STTBATCH_BUDGET_PER_MONTH": "-1"}
    refused(bare.run("config", "show"), "STTBATCH_BUDGET_PER_MONTH", "it must be 0 to")
    bare.extra = {"STTBATCH_BUDGET_PER_DAY": "100"}
    shown = bare.run("config", "show").out
    assert "budget_per_day = 100  # STTBATCH_BUDGET_PER_DAY" in shown
    assert 'budget_per_month = ""  (not set)  # default' in shown
    (bare.home / "sttbatch.toml").write_text("budget_per_day = 1e9\n")
    refused(bare.run("config", "show"), "line 1", "budget_per_day may not be set here")


def test_a_queued_job_is_run_by_its_id_alone(shell: Shell, tmp_path: Path) -> None:
    """By another process, in another folder, with the options that it was queued with."""
    truth = make_recording(tmp_path / "talk.wav", duration_s=5.0)
    queued = shell.transcribe(
        tmp_path, "-f", "srt,json", "-o", tmp_path / "out", "--prompt", "names", "--max-cost", "0"
    )
    assert queued.code == 4, queued.err
    (job,) = listed(shell).values()
    assert job["status"] == "QUEUED"
    result = shell.run("jobs", "retry", job["id"], "--now", cwd=shell.home)
    assert result.code == 0, result.err
    assert result.out.strip() == str(tmp_path / "out" / "talk.srt")
    assert words_of(tmp_path / "out" / "talk.json") == texts(truth)
    assert shell.endpoint is not None
    (received,) = shell.endpoint.received
    assert received.prompt == "names"
    assert {job["status"] for job in listed(shell).values()} == {"COMPLETED"}
    refused(shell.run("jobs", "retry", job["id"], "--now"), "is done")


def queued(shell: Shell, folder: Path, *options: str) -> str:
    """The id of a job that is queued and not begun."""
    make_recording(folder / "talk.wav", duration_s=5.0)
    assert shell.transcribe(folder, "--max-cost", "0", *options).code == 4
    (job,) = listed(shell).values()
    return str(job["id"])


@pytest.mark.slow
def test_a_job_for_another_endpoint_is_not_sent_to_this_one(shell: Shell, tmp_path: Path) -> None:
    job_id = queued(shell, tmp_path)
    there = shell.extra | {"STTBATCH_BASE_URL": "https://elsewhere.example/v1"}
    shell.extra = there
    refused(shell.run("jobs", "retry", job_id, "--now"), "the job is for https://127.0.0.1")


@pytest.mark.slow
def test_a_job_for_standard_output_is_not_run_for_nothing(shell: Shell, tmp_path: Path) -> None:
    job_id = queued(shell, tmp_path, "-o", "-")
    refused(shell.run("jobs", "retry", job_id, "--now"), "transcribe -o -")
    assert shell.endpoint is not None
    assert not shell.endpoint.received


@pytest.mark.slow
def test_a_changed_recording_is_another_job(shell: Shell, tmp_path: Path) -> None:
    job_id = queued(shell, tmp_path)
    assert shell.run("jobs", "cancel", job_id).code == 0
    make_recording(tmp_path / "talk.wav", duration_s=5.0, first_word=50)
    result = shell.run("jobs", "retry", job_id, "--now")
    assert (result.code, "has changed since" in result.err) == (1, True), result.err
    (tmp_path / "talk.wav").unlink()
    assert shell.run("jobs", "retry", job_id, "--now").code == 1
    assert [job["status"] for job in listed(shell).values()] == ["CANCELLED"]


@pytest.mark.slow
def test_a_job_is_run_by_the_engine_that_it_is_for(shell: Shell, tmp_path: Path) -> None:
    job_id = queued(shell, tmp_path)
    shell.extra = shell.extra | {"STTBATCH_ENGINE": "local", "STTBATCH_MODEL": "none"}
    assert shell.run("jobs", "retry", job_id, "--now").code == 0
    assert shell.endpoint is not None
    assert len(shell.endpoint.received) == 1


def test_now_is_for_one_job(bare: Shell) -> None:
    refused(bare.run("jobs", "retry", "--failed", "--now"), "--now")

"""Several processes over the same recordings: each is done once, and each process has it all."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from tests.cloudru import Hang, Received, make_recording
from tests.shell import Shell, texts, words_of

from .working import LENGTH_S, Truth, endpoint_of, record

PRICE = 0.01
"""The default price of a second."""


def paid(shell: Shell) -> list[Received]:
    return [post for post in endpoint_of(shell).received if post.status == 200]


def paid_words(shell: Shell) -> Counter[str]:
    return Counter(word for post in paid(shell) for word in post.words)


def complete(folder: Path, truth: Truth) -> None:
    for name, words in truth.items():
        assert words_of(folder / f"{name}.json") == texts(words), name


@contextlib.contextmanager
def ended(*processes: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever a test finds, none of them outlives it."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def until_event(process: subprocess.Popen[bytes], name: str, recording: str) -> None:
    """Read a log as json up to this event."""
    assert process.stderr is not None
    for line in process.stderr:
        event = json.loads(line) if line.startswith(b"{") else {}
        if event.get("event") == name and event["recording"].endswith(recording):
            return
    raise AssertionError(f"it ended without {name} of {recording}")


@pytest.mark.parametrize(
    ("processes", "recordings"), [(3, 8), pytest.param(4, 16, marks=pytest.mark.slow)]
)
def test_several_processes_pay_each_recording_once(
    shell: Shell, tmp_path: Path, processes: int, recordings: int
) -> None:
    endpoint_of(shell).latency_s = 0.2
    folder = tmp_path / "talks"
    truth = record(folder, recordings)
    running = [shell.start("transcribe", folder, "-j", "2") for _ in range(processes)]
    with ended(*running):
        results = [shell.finish(process) for process in running]
    assert [r.code for r in results] == [0] * processes, [r.err[-900:] for r in results if r.code]
    assert len(paid(shell)) == len(endpoint_of(shell).received) == recordings
    assert len({post.file_sha256 for post in paid(shell)}) == recordings
    complete(folder, truth)
    for result in results:
        assert f"{recordings} recordings done" in result.summary
        assert len(result.out.splitlines()) == recordings
    sent = [int(r.summary.partition(" sent")[0].split()[-2]) for r in results]
    assert sum(sent) == recordings
    print(f"chunks sent by each of {processes} processes: {sent}")


def test_a_killed_holders_recording_is_taken_over_at_once(shell: Shell, tmp_path: Path) -> None:
    """The other process is known to wait: it has done everything else."""
    endpoint = endpoint_of(shell)
    endpoint.faults = lambda post: Hang() if post.number == 0 else None
    folder = tmp_path / "talks"
    truth = record(folder, 1)
    holder = shell.start("transcribe", folder)
    endpoint.wait_for(lambda e: any(post.words for post in e.received), timeout_s=60)
    # A shorter one comes after it.
    other = tmp_path / "more"
    more = record(other, 1, first=1, length_s=LENGTH_S - 3)
    waiting = shell.start("transcribe", folder, other, "--log-format", "json")
    with ended(holder, waiting):
        until_event(waiting, "JobCompleted", "talk-1.wav")
        assert waiting.poll() is None
        holder.kill()
        result = shell.finish(waiting)
    assert result.code == 0, result.err
    taken_over = endpoint.received[-1]
    assert list(taken_over.words) == texts(truth["talk-0"])
    assert len(paid(shell)) == 2
    complete(folder, truth)
    complete(other, more)


def test_no_wait_leaves_what_is_taken_and_says_so(shell: Shell, tmp_path: Path) -> None:
    endpoint = endpoint_of(shell)
    endpoint.latency_s = 600
    folder = tmp_path / "talks"
    record(folder, 2)
    holder = shell.start("transcribe", folder)
    with ended(holder):
        endpoint.wait_for(lambda e: e.log.in_flight == 2, timeout_s=60)
        result = shell.transcribe(folder, "--no-wait")
        assert (result.code, result.out) == (0, ""), result.err
        assert "0 recordings done" in result.summary
        assert "2 claimed by another run" in result.summary
        assert endpoint.log.in_flight == len(endpoint.received) == 2
        assert holder.poll() is None


def remux(source: Path, target: Path) -> None:
    """The same packets in another file."""
    with av.open(str(source)) as found, av.open(str(target), "w") as made:
        stream = found.streams.audio[0]
        out = made.add_stream_from_template(stream)
        for packet in found.demux(stream):
            if packet.dts is not None:
                packet.stream = out
                made.mux_one(packet)


@pytest.mark.slow
def test_copies_and_other_containers_are_paid_once_by_two_processes(
    shell: Shell, tmp_path: Path
) -> None:
    endpoint_of(shell).latency_s = 0.5
    length_s = 65.0
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    words = make_recording(
        here / "talk.m4a", duration_s=length_s, sample_rate=16_000, channels=1, bit_rate=48_000
    )
    (there / "copy.m4a").write_bytes((here / "talk.m4a").read_bytes())
    remux(here / "talk.m4a", there / "film.mp4")
    assert (there / "film.mp4").read_bytes() != (here / "talk.m4a").read_bytes()
    processes = [
        shell.start("transcribe", folder, "--chunk-duration", "20") for folder in (here, there)
    ]
    with ended(*processes):
        for process in processes:
            result = shell.finish(process)
            assert result.code == 0, result.err
    for path in (here / "talk.json", there / "copy.json", there / "film.json"):
        assert words_of(path) == texts(words)
    assert paid_words(shell) == Counter(texts(words))
    chunks = len(paid(shell))
    assert chunks == len(endpoint_of(shell).received) >= 3
    assert sum(post.audio_s for post in paid(shell)) < length_s + 0.2 * chunks


@pytest.mark.slow
def test_a_daily_budget_is_never_overdrawn_by_two_processes(shell: Shell, tmp_path: Path) -> None:
    endpoint_of(shell).latency_s = 0.3
    count, affordable = 4, 3
    budget = PRICE * LENGTH_S * (affordable + 0.5)
    folders = {tmp_path / "here": 0, tmp_path / "there": count}
    truths = {folder: record(folder, count, first=first) for folder, first in folders.items()}
    shell.extra = {"STTBATCH_BUDGET_PER_DAY": str(budget)}
    processes = [shell.start("transcribe", folder) for folder in folders]
    with ended(*processes):
        results = [shell.finish(process) for process in processes]
    assert [result.code for result in results] == [4, 4], [result.err for result in results]
    for result in results:
        assert "budget_per_day" in result.err
    assert len(paid(shell)) == len(endpoint_of(shell).received) == affordable
    with contextlib.closing(sqlite3.connect(shell.home / "data" / "ledger.db")) as ledger:
        ((spent,),) = ledger.execute("SELECT sum(cost) FROM requests")
    assert spent == pytest.approx(PRICE * LENGTH_S * affordable, abs=0.05)
    assert spent <= budget
    shell.extra = {"STTBATCH_BUDGET_PER_DAY": str(10 * budget)}
    for folder, truth in truths.items():
        result = shell.transcribe(folder)
        assert result.code == 0, result.err
        complete(folder, truth)
    assert max(paid_words(shell).values()) == 1
    assert len(paid(shell)) == 2 * count


def test_a_stopped_holder_lets_go_at_once(shell: Shell, tmp_path: Path) -> None:
    """Stopped, not killed: what was in flight is stored, the rest is free for who waits."""
    endpoint = endpoint_of(shell)
    endpoint.latency_s = 1.0
    folder = tmp_path / "talks"
    truth = record(folder, 3)
    holder = shell.start("transcribe", folder, "-j", "1")
    with ended(holder):
        endpoint.wait_for(lambda e: e.log.in_flight == 1, timeout_s=60)
        waiting = shell.start("transcribe", folder, "-j", "1")
        with ended(waiting):
            holder.send_signal(signal.SIGTERM)
            assert shell.finish(holder).code == 128 + signal.SIGTERM
            result = shell.finish(waiting)
    assert result.code == 0, result.err
    complete(folder, truth)
    assert len(paid(shell)) == len(endpoint.received) == 3

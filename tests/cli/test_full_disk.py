"""A disk that is full: no answer that arrived is lost, nothing more is sent, the next run goes on.

The folder of state lies on a small file system of its own, which only root can mount.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sttbatch.processing.scheduling.orchestrator import CHUNKS_AHEAD
from tests.cloudru import CloudRu, HeardWord, Status, make_recording
from tests.cloudru.translating import TranslatingModel
from tests.shell import Result, Shell, texts, words_of

from .working import until_line, working

LANES = 3
BLOCK_BYTES = 4096


@pytest.fixture
def data(home: Path) -> Iterator[Path]:
    """A tmpfs of 12 MiB at the shell's folder of state."""
    folder = home / "data"
    folder.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m,mode=700", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root, where it may mount, can make a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def talk(folder: Path) -> list[HeardWord]:
    return make_recording(
        folder / "talk.mp3", duration_s=84, bit_rate=32_000, sample_rate=16_000, channels=1
    )


def fill(folder: Path, leave_bytes: int = 0) -> None:
    """Take every block that is free, but for `leave_bytes`."""
    # Unbuffered: what a buffer holds back would be written, and fail, when it is closed.
    with (folder / "filler").open("wb", buffering=0) as file:
        block = bytes(BLOCK_BYTES)
        try:
            while True:
                file.write(block)
        except OSError:
            pass
        if leave_bytes:
            file.truncate(file.tell() - leave_bytes)


def in_flight(endpoint: CloudRu, count: int) -> None:
    endpoint.wait_for(lambda e: sum(not r.over and bool(r.words) for r in e.received) == count, 60)


def answered(endpoint: CloudRu) -> list[str]:
    return [word for post in endpoint.received if post.status == 200 for word in post.words]


def is_sound(data: Path) -> bool:
    with sqlite3.connect(data / "ledger.db") as db:
        found = db.execute("PRAGMA integrity_check").fetchall()
    db.close()
    return bool(found == [("ok",)])


def stopped_by_full_disk(result: Result) -> bool:
    assert "Traceback" not in result.err, result.err
    return result.code == 1 and "disk is full" in result.err


def test_what_is_in_flight_is_kept_and_the_next_run_goes_on(
    new_shell: Shell, data: Path, folder: Path, talk: list[HeardWord], cloudru: CloudRu
) -> None:
    cloudru.hold()
    # A full disk is no failure of the recording.
    new_shell.extra["STTBATCH_JOB_RETRIES"] = "0"
    arguments = ("transcribe", folder, "-j", str(LANES), "--chunk-duration", "10")
    process = new_shell.start(*arguments)
    in_flight(cloudru, LANES)
    fill(data)
    cloudru.resume()
    first = new_shell.finish(process)
    assert stopped_by_full_disk(first), first.err
    assert sorted(path.name for path in folder.iterdir()) == ["talk.mp3"], "no half an output"
    assert len(cloudru.received) == LANES, "nothing more was sent"
    paid = answered(cloudru)
    assert len(list((data / "answers").iterdir())) == LANES
    assert is_sound(data)

    nothing_sent = new_shell.run(*arguments)
    assert stopped_by_full_disk(nothing_sent), nothing_sent.err
    assert len(cloudru.received) == LANES

    (data / "filler").unlink()
    second = new_shell.run(*arguments)
    assert second.code == 0, second.err
    assert words_of(folder / "talk.json") == texts(talk)
    asked_again = Counter(paid) & Counter(answered(cloudru)[len(paid) :])
    assert not asked_again
    assert list((data / "answers").iterdir()) == []
    assert is_sound(data)


@pytest.mark.slow
def test_each_answer_is_accounted_for_once(
    new_shell: Shell, data: Path, folder: Path, talk: list[HeardWord], cloudru: CloudRu
) -> None:
    cloudru.hold()
    process = new_shell.start("transcribe", folder, "-j", str(LANES), "--chunk-duration", "10")
    in_flight(cloudru, LANES)
    fill(data)
    cloudru.resume()
    assert stopped_by_full_disk(new_shell.finish(process))
    (data / "filler").unlink()
    assert new_shell.transcribe(folder, "-j", str(LANES), "--chunk-duration", "10").code == 0
    with sqlite3.connect(data / "ledger.db") as db:
        posts = db.execute("SELECT chunk_key, status, maybe_paid FROM requests").fetchall()
        open_chunks = db.execute(
            "SELECT COUNT(*) FROM chunk_tasks WHERE status <> 'COMPLETED'"
        ).fetchone()
    db.close()
    paid = [key for key, *rest in posts if rest == [200, 0]]
    assert len(paid) == len(set(paid)) == len(cloudru.received)
    # Chunks that waited for a lane were never sent, but a full disk cannot take that down.
    assert len(posts) - len(paid) <= CHUNKS_AHEAD
    assert {tuple(rest) for _, *rest in posts} <= {(200, 0), (None, 1)}
    assert open_chunks == (0,)


@pytest.mark.slow
def test_a_disk_that_fills_while_one_lane_has_failed_loses_no_other(
    new_shell: Shell, data: Path, folder: Path, talk: list[HeardWord], cloudru: CloudRu
) -> None:
    cloudru.hold()
    cloudru.faults = lambda post: Status(400) if post.number == 0 else None
    arguments = ("transcribe", folder, "-j", str(LANES), "--chunk-duration", "10")
    process = new_shell.start(*arguments)
    in_flight(cloudru, LANES)
    fill(data)
    cloudru.resume()
    assert stopped_by_full_disk(new_shell.finish(process))
    paid = answered(cloudru)
    (data / "filler").unlink()
    cloudru.faults = None
    second = new_shell.run(*arguments)
    assert second.code == 0, second.err
    assert words_of(folder / "talk.json") == texts(talk)
    assert not Counter(paid) & Counter(answered(cloudru)[len(paid) :])


@pytest.mark.slow
def test_several_recordings_in_flight(
    new_shell: Shell, data: Path, folder: Path, cloudru: CloudRu
) -> None:
    truth = {
        name: make_recording(
            folder / f"{name}.mp3",
            duration_s=12 + 3 * number,
            sample_rate=16_000,
            channels=1,
            first_word=100 * number,
        )
        for number, name in enumerate("abcd")
    }
    cloudru.hold()
    process = new_shell.start("transcribe", folder, "-j", str(LANES))
    in_flight(cloudru, LANES)
    fill(data)
    cloudru.resume()
    first = new_shell.finish(process)
    assert stopped_by_full_disk(first), first.err
    paid = answered(cloudru)
    (data / "filler").unlink()
    second = new_shell.transcribe(folder, "-j", str(LANES))
    assert second.code == 0, second.err
    assert all(words_of(folder / f"{name}.json") == texts(words) for name, words in truth.items())
    assert not Counter(paid) & Counter(answered(cloudru)[len(paid) :])


def test_without_room_for_the_answers_nothing_is_sent(
    new_shell: Shell, data: Path, folder: Path, talk: list[HeardWord], cloudru: CloudRu
) -> None:
    fill(data, leave_bytes=2 * 1024 * 1024)
    first = new_shell.transcribe(folder, "-j", str(LANES))
    assert first.code == 1
    assert (
        f"{LANES} MiB of disk space cannot be reserved for answers, so nothing is sent: No space"
        in first.err
    )
    assert "Traceback" not in first.err
    assert cloudru.received == []
    assert list((data / "answers").iterdir()) == []
    (data / "filler").unlink()
    assert new_shell.transcribe(folder, "-j", str(LANES)).code == 0
    assert words_of(folder / "talk.json") == texts(talk)


@pytest.mark.parametrize(
    "leave_kib", [40, *(pytest.param(kib, marks=pytest.mark.slow) for kib in (0, 8, 100, 400))]
)
def test_a_nearly_full_disk_is_named_whatever_fails_first(
    new_shell: Shell,
    data: Path,
    folder: Path,
    talk: list[HeardWord],
    cloudru: CloudRu,
    leave_kib: int,
) -> None:
    fill(data, leave_bytes=leave_kib * 1024)
    first = new_shell.transcribe(folder)
    assert first.code == 1
    assert "Traceback" not in first.err
    assert "full" in first.err or "No space left" in first.err, first.err
    assert cloudru.received == []
    (data / "filler").unlink()
    assert new_shell.transcribe(folder).code == 0
    assert is_sound(data)


@pytest.mark.slow
def test_outputs_that_find_no_room_are_named_and_nothing_is_half_written(
    new_shell: Shell,
    data: Path,
    folder: Path,
    talk: list[HeardWord],
    tmp_path: Path,
    cloudru: CloudRu,
) -> None:
    new_shell.extra["STTBATCH_DATA_DIR"] = str(tmp_path / "state")
    fill(data)
    first = new_shell.transcribe(folder, "-o", data / "out")
    assert first.code == 1
    assert "FAILED" not in new_shell.run("jobs", "list").out
    assert "Traceback" not in first.err
    assert f"{data / 'out'}" in first.err
    assert "No space left on device; free some space and run again" in first.err
    assert [path.name for path in data.rglob("*") if path.is_file()] == ["filler"]
    sent = len(cloudru.received)
    (data / "filler").unlink()
    second = new_shell.transcribe(folder, "-o", data / "out")
    assert second.code == 0, second.err
    assert len(cloudru.received) == sent
    assert words_of(data / "out" / "talk.json") == texts(talk)


def test_an_order_of_a_translation_waits_until_there_is_room(
    new_shell: Shell,
    data: Path,
    folder: Path,
    talk: list[HeardWord],
    tmp_path: Path,
    cloudru: CloudRu,
) -> None:
    new_shell.extra["STTBATCH_DATA_DIR"] = str(tmp_path / "state")
    cloudru.chat = TranslatingModel()
    fill(data)
    out = data / "out"
    ordered = new_shell.run("submit", folder, "--kind", "translation", "--to", "en", "-o", out)
    assert ordered.code == 0, ordered.err
    with working(new_shell) as (worker,):
        until_line(worker, "No space left on device")
    sent = len(cloudru.received)
    (data / "filler").unlink()
    with working(new_shell) as (worker,):
        until_line(worker, "talk.mp3: from cache")
    assert (out / "talk.en.srt").is_file()
    assert len(cloudru.received) == sent

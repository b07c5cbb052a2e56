"""`sttbatch watch`, as a process: what it finds, what arrives, and how it ends."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloudru import Status, always, make_recording
from tests.shell import Shell, texts, words_of

from .working import endpoint_of, in_flight, record, until_line


@contextlib.contextmanager
def watching(
    shell: Shell, *arguments: str | Path, settle: str = "0"
) -> Iterator[subprocess.Popen[bytes]]:
    """A watch that lives as long as the block, in which standard error is read."""
    process = shell.start("watch", *arguments, "--settle", settle)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def written(process: subprocess.Popen[bytes]) -> str:
    """The next path that it prints."""
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def ended(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(60)


def test_what_was_there_and_what_arrives_is_transcribed_once(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    truth = record(folder, 1) | record(elsewhere, 3, first=1)
    with watching(shell, folder) as process:
        assert written(process) == f"{folder}/talk-0.txt"
        (elsewhere / "talk-1.wav").rename(folder / "talk-1.wav")
        assert written(process) == f"{folder}/talk-1.txt"
        # A folder that is moved in, and one in a new one.
        (elsewhere / "deep").mkdir()
        (elsewhere / "talk-2.wav").rename(elsewhere / "deep" / "talk-2.wav")
        (elsewhere / "deep").rename(folder / "deep")
        assert written(process) == f"{folder}/deep/talk-2.txt"
        (folder / "new" / "er").mkdir(parents=True)
        (elsewhere / "talk-3.wav").rename(folder / "new" / "er" / "talk-3.wav")
        assert written(process) == f"{folder}/new/er/talk-3.txt"
        # What has gone disturbs nobody, and what is replaced is new.
        (folder / "talk-0.wav").unlink()
        changed = make_recording(
            elsewhere / "talk-1.wav", duration_s=11, sample_rate=8_000, channels=1, first_word=900
        )
        (elsewhere / "talk-1.wav").rename(folder / "talk-1.wav")
        assert written(process) == f"{folder}/talk-1.txt"
        assert ended(process) == 128 + signal.SIGTERM
        assert process.stderr is not None
        err = process.stderr.read().decode()
    assert "watched for" in err
    assert "5 recordings done, 0 failed" in err
    assert err.count("1 recording done") == 5
    assert "Traceback" not in err
    assert words_of(folder / "new" / "er" / "talk-3.json") == texts(truth["talk-3"])
    assert words_of(folder / "talk-1.json") == texts(changed)
    assert len(endpoint_of(shell).received) == 5


def test_the_first_signal_stores_what_is_in_flight_and_the_next_watch_goes_on(
    shell: Shell, folder: Path
) -> None:
    truth = record(folder, 3)
    endpoint_of(shell).hold()
    with watching(shell, folder, "-j", "2") as process:
        in_flight(shell, 2)
        process.send_signal(signal.SIGTERM)
        until_line(process, "stopping")
        endpoint_of(shell).resume()
        assert process.wait(60) == 128 + signal.SIGTERM
        assert process.stderr is not None
        assert "2 recordings done" in process.stderr.read().decode()
    with watching(shell, folder) as process:
        assert {written(process) for _ in truth} == {f"{folder}/{name}.txt" for name in truth}
    for name, words in truth.items():
        assert words_of(folder / f"{name}.json") == texts(words)
    assert len(endpoint_of(shell).received) == 3


def test_after_kill_9_nothing_that_was_answered_is_sent_again(shell: Shell, folder: Path) -> None:
    record(folder, 1)
    with watching(shell, folder) as process:
        assert written(process) == f"{folder}/talk-0.txt"
        endpoint_of(shell).hold()
        record(folder, 1, first=1)
        in_flight(shell, 1)
        process.kill()
        process.wait()
    endpoint_of(shell).resume()
    with watching(shell, folder) as process:
        assert {written(process), written(process)} == {
            f"{folder}/talk-0.txt",
            f"{folder}/talk-1.txt",
        }
    # The answer that nobody received is asked for again.
    assert len(endpoint_of(shell).received) == 3


def test_long_batches_do_not_delay_what_arrives(shell: Shell, folder: Path, tmp_path: Path) -> None:
    record(folder, 1)
    record(tmp_path / "elsewhere", 1, first=1)
    endpoint_of(shell).hold()
    with watching(shell, folder, "-j", "2"):
        in_flight(shell, 1)
        (tmp_path / "elsewhere" / "talk-1.wav").rename(folder / "talk-1.wav")
        in_flight(shell, 2)
    endpoint_of(shell).resume()


def test_a_refused_key_ends_it_with_3(shell: Shell, folder: Path) -> None:
    record(folder, 1)
    endpoint_of(shell).faults = always(Status(401, body={"detail": "no"}))
    result = shell.run("watch", folder, "--settle", "0")
    assert result.code == 3, result.err
    assert "401" in result.err


def test_a_limit_of_cost_is_that_of_all_batches(shell: Shell, folder: Path, tmp_path: Path) -> None:
    shell.extra["STTBATCH_PRICE_PER_SECOND"] = "1"
    record(folder, 1)
    record(tmp_path / "elsewhere", 1, first=1)
    process = shell.start("watch", folder, "--settle", "0", "--max-cost", "20")
    assert written(process) == f"{folder}/talk-0.txt"
    (tmp_path / "elsewhere" / "talk-1.wav").rename(folder / "talk-1.wav")
    result = shell.finish(process)
    assert result.code == 4, result.err
    assert len(endpoint_of(shell).received) == 1


def test_it_takes_folders_alone(shell: Shell, folder: Path) -> None:
    record(folder, 1)
    for arguments, reason in {
        (folder / "talk-0.wav",): "not a folder",
        (folder / "nothing",): "no such file or folder",
        (folder, "--poll", "0"): "at least 1 s",
    }.items():
        result = shell.run("watch", *arguments)
        assert result.code == 2
        assert reason in result.err


@pytest.mark.slow
def test_a_file_that_is_copied_slowly_is_transcribed_once_and_whole(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    settle_s, pieces = 2.0, 200
    truth = record(tmp_path / "elsewhere", 1, length_s=60.0)["talk-0"]
    content = (tmp_path / "elsewhere" / "talk-0.wav").read_bytes()
    size = -(-len(content) // pieces)
    with watching(shell, folder, settle=str(settle_s)) as process:
        until_line(process, "watching")
        worst_s, last_s = 0.0, time.monotonic()
        with (folder / "talk-0.wav").open("wb") as file:
            for at in range(0, len(content), size):
                file.write(content[at : at + size])
                file.flush()
                now_s = time.monotonic()
                worst_s, last_s = max(worst_s, now_s - last_s), now_s
                time.sleep(2 * settle_s / pieces)
        if worst_s > settle_s / 4:
            pytest.skip("this machine copied it so slowly that it seemed complete")
        assert written(process) == f"{folder}/talk-0.txt"
    assert words_of(folder / "talk-0.json") == texts(truth)
    heard = [word for post in endpoint_of(shell).received for word in post.words]
    assert len(heard) == len(set(heard))


def test_batches_are_in_the_log(shell: Shell, folder: Path) -> None:
    record(folder, 1)
    (folder / "broken.wav").write_bytes(b"RIFF")
    process = shell.start("watch", folder, "--settle", "0", "--log-format", "json")
    assert written(process) == f"{folder}/talk-0.txt"
    assert process.stderr is not None
    events = map(json.loads, process.stderr)
    event = next(each for each in events if each["event"] == "summary")
    assert (event["done"], event["failed"], event["exit_code"]) == (1, 1, 1)
    process.send_signal(signal.SIGINT)
    result = shell.finish(process)
    assert result.code == 128 + signal.SIGINT
    last = json.loads(result.summary)
    assert (last["event"], last["done"], last["failed"]) == ("summary", 1, 1)

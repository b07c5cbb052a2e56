"""Signals while requests are in flight: what was answered is kept, and leaving is quick."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import CloudRu, HeardWord, make_recording
from tests.shell import Shell, texts, words_of

LANES = 4
RECORDINGS = 6
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def truth(folder: Path) -> dict[str, list[HeardWord]]:
    """One chunk each, more than there are lanes; no word is in two of them."""
    return {
        f"talk-{index}": make_recording(
            folder / f"talk-{index}.wav",
            duration_s=11,
            sample_rate=8_000,
            channels=1,
            first_word=100 * index,
        )
        for index in range(RECORDINGS)
    }


def in_flight(shell: Shell, folder: Path) -> subprocess.Popen[bytes]:
    """A run whose every lane waits for an answer, until the endpoint lets go."""
    endpoint = endpoint_of(shell)
    endpoint.hold()
    process = shell.start("transcribe", folder, "-j", str(LANES))
    endpoint.wait_for(
        lambda e: sum(post.body_read_at_s is not None for post in e.received) == LANES,
        timeout_s=60,
    )
    return process


def stop(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Return when the run has taken note of its first signal."""
    process.send_signal(number)
    assert process.stderr is not None
    assert b"stopping" in process.stderr.readline()


def endpoint_of(shell: Shell) -> CloudRu:
    assert shell.endpoint is not None
    return shell.endpoint


def answered(shell: Shell) -> list[str]:
    return [" ".join(post.words) for post in endpoint_of(shell).received if post.status == 200]


def rows(shell: Shell, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(shell.home / "data" / "ledger.db")) as ledger:
        return ledger.execute(query).fetchall()


def stored(shell: Shell) -> set[str]:
    """What the chunks say whose answers are in the ledger."""
    found = rows(shell, "SELECT value FROM cache_entries WHERE key LIKE 'chunk:%'")
    return {json.loads(value)["heard"]["text"] for (value,) in found}


def finished(shell: Shell, folder: Path, truth: dict[str, list[HeardWord]]) -> None:
    endpoint_of(shell).resume()
    result = shell.transcribe(folder)
    assert result.code == 0, result.err
    for name, words in truth.items():
        assert words_of(folder / f"{name}.json") == texts(words)


@pytest.mark.parametrize(
    "number",
    [SIGNALS[0], *(pytest.param(number, marks=pytest.mark.slow) for number in SIGNALS[1:])],
)
def test_all_that_was_in_flight_is_stored_and_not_sent_again(
    shell: Shell, folder: Path, truth: dict[str, list[HeardWord]], number: signal.Signals
) -> None:
    process = in_flight(shell, folder)
    stop(process, number)
    endpoint_of(shell).resume()
    result = shell.finish(process)
    assert result.code == 128 + number, result.err
    assert "Traceback" not in result.err
    paid = answered(shell)
    assert len(paid) == len(endpoint_of(shell).received) == LANES
    assert stored(shell) == set(paid)
    assert f"{LANES} recordings done" in result.summary
    assert f"{RECORDINGS - LANES} left for the next run" in result.summary
    finished(shell, folder, truth)
    assert len(answered(shell)) == len(set(answered(shell))) == RECORDINGS


@pytest.mark.parametrize("number", [SIGNALS[0], pytest.param(SIGNALS[1], marks=pytest.mark.slow)])
def test_the_second_signal_leaves_and_what_it_broke_off_counts_as_maybe_paid(
    shell: Shell, folder: Path, truth: dict[str, list[HeardWord]], number: signal.Signals
) -> None:
    process = in_flight(shell, folder)
    stop(process, number)
    process.send_signal(number)
    # Nothing is answered any more, and it does not wait for that.
    result = shell.finish(process)
    assert result.code == 128 + number, result.err
    assert "Traceback" not in result.err
    maybe = rows(shell, "SELECT status, cost > 0, error FROM requests WHERE maybe_paid")
    assert maybe == [(None, 1, "cancelled")] * LANES
    assert rows(shell, "SELECT 1 FROM chunk_tasks WHERE reserved_cost > 0") == []
    finished(shell, folder, truth)


def test_signals_of_two_kinds_count_together(
    shell: Shell, folder: Path, truth: dict[str, list[HeardWord]]
) -> None:
    assert len(truth) == RECORDINGS
    process = in_flight(shell, folder)
    stop(process, signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert shell.finish(process).code == 128 + signal.SIGHUP


def test_a_signal_before_anything_is_sent_ends_the_run(
    shell: Shell, folder: Path, truth: dict[str, list[HeardWord]]
) -> None:
    assert len(truth) == RECORDINGS
    process = shell.start("transcribe", folder, "--log-format", "json")
    assert process.stderr is not None
    assert any(b"JobQueued" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    result = shell.finish(process)
    assert result.code == 128 + signal.SIGINT, result.err
    assert "Traceback" not in result.err
    finished(shell, folder, truth)
    assert len(answered(shell)) == RECORDINGS

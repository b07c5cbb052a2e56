"""200 times kill -9 in the middle of 100-chunk batches: nothing lost, nothing stored paid again."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloudru import CloudRu, HeardWord, make_recording
from tests.shell import Shell, load, texts, words_of

pytestmark = pytest.mark.slow

KILLS = 200
RECORDINGS = 10
LANES = 4
ALIVE_S = (0.6, 2.2)
"""From before the first request to where a fifth of the batch is done."""


@pytest.fixture
def endpoint() -> Iterator[CloudRu]:
    with CloudRu(latency_s=0.3) as running:
        yield running


def record(folder: Path, first_word: int) -> dict[str, list[HeardWord]]:
    """A batch of 100 chunks of ten seconds, whose words occur in no other."""
    folder.mkdir()
    return {
        f"talk-{index}": make_recording(
            folder / f"talk-{index}.wav",
            duration_s=100,
            sample_rate=8_000,
            channels=1,
            first_word=first_word + 250 * index,
        )
        for index in range(RECORDINGS)
    }


class Reader(threading.Thread):
    """Reads every output again and again; a half-written one is a failure."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self.ended = threading.Event()
        self.failures: list[str] = []

    def run(self) -> None:
        while not self.ended.wait(0.01):
            # Only where outputs are: the folders of runs vanish under whoever lists them.
            for path in self._folder.glob("batch-*/talk-*.json"):
                try:
                    load(path)
                except (ValueError, OSError) as error:
                    self.failures.append(f"{path}: {error}")


def stored(ledger: Path) -> set[str]:
    """What the chunks say whose answers are stored."""
    if not ledger.exists():
        return set()
    with contextlib.closing(sqlite3.connect(ledger)) as database:
        try:
            rows = database.execute("SELECT value FROM cache_entries WHERE key LIKE 'chunk:%'")
            return {json.loads(value)["heard"]["text"] for (value,) in rows}
        except sqlite3.OperationalError:
            return set()


@pytest.mark.timeout(3000)
def test_killed_200_times_nothing_is_lost_or_paid_again(
    tmp_path: Path, home: Path, endpoint: CloudRu
) -> None:
    shell = Shell(home, endpoint)
    reader = Reader(tmp_path)
    reader.start()
    chance = random.Random(20)
    paid_twice = kills = rounds = 0
    while kills < KILLS:
        folder = tmp_path / f"batch-{rounds}"
        truth = record(folder, first_word=3000 * rounds)
        rounds += 1
        code = None
        while code is None:
            had = stored(home / "data" / "ledger.db")
            posts_before = len(endpoint.received)
            limit_s = chance.uniform(*ALIVE_S) if kills < KILLS else 100
            process = shell.start(
                "transcribe", folder, "--chunk-duration", "10", "-j", str(LANES), "-q"
            )
            try:
                _, error = process.communicate(timeout=limit_s)
                code = process.returncode
                assert code == 0, error
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
            for post in endpoint.received[posts_before:]:
                assert " ".join(post.words or ()) not in had, "a stored answer was asked for again"
        said = [" ".join(post.words or ()) for post in endpoint.received if post.status == 200]
        endpoint.received.clear()
        paid_twice += len(said) - len(set(said))
        for name, words in truth.items():
            assert words_of(folder / f"{name}.json") == texts(words)
    reader.ended.set()
    reader.join()
    assert reader.failures == []
    assert paid_twice <= LANES * kills
    print(f"{kills} kills over {rounds} batches; {paid_twice} chunks were in flight and paid twice")

"""Killed, or out of space, at every system call that writes, in each thread that writes.

strace counts the calls of each name and thread apart, so every name is gone through alone, in one
thread of a process that commits once: see `commit_one`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sttbatch.caching.result_cache import StoredChunk, decoded
from tests.slow.commit_one import FORMATS, KEY, TEXT, store_chunk, write_output

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("strace") is None, reason="strace is missing: apt-get install strace"
    ),
]

ROOT = Path(__file__).parents[2]
CALLS = (
    "write,writev,pwrite64,fsync,fdatasync,ftruncate,openat,rename,renameat,renameat2,"
    "unlink,unlinkat,mkdir,mkdirat"
)
FAULTS = ("signal=KILL:when={}", "error=ENOSPC:when={}", "error=ENOSPC:when={}+")
LEDGER_THREAD, L2_THREAD, POOL_THREAD = "ledger", "l2", "pool_0"
MOST = 200
TIMEOUT_S = 20


@dataclass(frozen=True)
class Trial:
    """What became of one commit."""

    killed: bool
    said: str
    calls: tuple[str, ...]
    injured: bool


@dataclass(frozen=True)
class Bench:
    """A place where the same commit can be made again and again."""

    what: str
    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "work" / "data"

    @property
    def out(self) -> Path:
        return self.folder / "work" / "out"

    def keep(self) -> None:
        shutil.copytree(self.folder / "work", self.folder / "kept")

    def restore(self) -> None:
        shutil.rmtree(self.folder / "work", ignore_errors=True)
        shutil.copytree(self.folder / "kept", self.folder / "work")

    def commit(self, thread: str, injection: str | None) -> Trial:
        """Commit with a fault in one thread, from the beginning of the commit on."""
        log = self.folder / "strace.log"
        log.unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.slow.commit_one", self.what, self.data, self.out],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(self.folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready "), process.communicate()
        threads = json.loads(line[6:])
        threads[LEDGER_THREAD] = threads[f"database {self.data / 'ledger.db'}"]
        calls = ",".join(f"?{name}" for name in CALLS.split(","))
        strace = subprocess.Popen(
            [
                *("strace", "-o", str(log), "-p", str(threads[thread])),
                *("-e", f"trace={calls}"),
                *(() if injection is None else ("-e", f"inject={injection}")),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert strace.stderr is not None
        attached = strace.stderr.readline()
        try:
            assert "attached" in attached
            said, error = process.communicate("go\n", timeout=TIMEOUT_S)
            strace.communicate(timeout=TIMEOUT_S)
        finally:
            for each in (process, strace):
                each.kill()
                each.communicate()
        assert process.returncode in {0, -9}, error
        traced = log.read_text()
        names = re.findall(r"^(\w+)\(", traced, re.MULTILINE)
        killed = process.returncode == -9
        return Trial(killed, said.strip(), tuple(names), killed or "(INJECTED)" in traced)


def go_through(bench: Bench, thread: str, check: Callable[[Trial], None]) -> Counter[str]:
    """Every call of every name in one thread, with every fault; returns how many there were."""
    bench.restore()
    plain = bench.commit(thread, None)
    assert (plain.killed, plain.said) == (False, "stored")
    check(plain)
    tried: Counter[str] = Counter()
    for name in sorted(set(plain.calls)):
        for fault in FAULTS:
            for number in range(1, MOST):
                bench.restore()
                injection = f"{name}:{fault.format(number)}"
                trial = bench.commit(thread, injection)
                try:
                    check(trial)
                except Exception as error:
                    error.add_note(f"{bench.what} in {thread}: {injection}: {trial}")
                    raise
                if not trial.injured:
                    assert trial.said == "stored"
                    assert number > plain.calls.count(name) // 2
                    break
                tried[f"{name} {fault.partition(':')[0]}{fault[-1] * fault.endswith('+')}"] += 1
            else:
                raise AssertionError(f"{name} has no end")
    print(f"{bench.what} in {thread}: {tried.total()} faults: {dict(tried)}")
    return tried


def integrity(data: Path) -> None:
    with contextlib.closing(sqlite3.connect(data / "ledger.db")) as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert ledger.execute("PRAGMA foreign_key_check").fetchall() == []


def no_leftovers(bench: Bench) -> None:
    assert list(bench.folder.rglob(".sttbatch-*")) == []
    locks = bench.data / "locks"
    assert not locks.exists() or list(locks.iterdir()) == []
    # A journal that begins with a zero was never begun or is done with: the next write reuses it.
    journal = bench.data / "ledger.db-journal"
    assert not journal.exists() or journal.read_bytes()[:1] in {b"", b"\0"}


def stored_times(data: Path) -> int:
    """0 or 1; everything that tells of the chunk's answer agrees."""
    integrity(data)
    with contextlib.closing(sqlite3.connect(data / "ledger.db")) as ledger:
        values = ledger.execute("SELECT value FROM cache_entries WHERE key = ?", (KEY,)).fetchall()
        counts = [
            ledger.execute(f"SELECT count(*) FROM {query}", (KEY,)).fetchone()[0]
            for query in (
                "requests WHERE chunk_key = ? AND status = 200",
                "chunk_tasks WHERE chunk_key = ? AND status = 'COMPLETED' AND reserved_cost = 0",
                "entry_files WHERE key = ?",
            )
        ]
    assert counts == [len(values)] * 3
    for (value,) in values:
        found = decoded(value, StoredChunk)
        assert found is not None
        assert found.transcription.text == TEXT
    return len(values)


@pytest.fixture
def chunk(tmp_path: Path) -> Bench:
    """A ledger and an L2 cache that are in use, but hold no answer."""
    bench = Bench("chunk", tmp_path)
    bench.data.mkdir(parents=True)
    asyncio.run(store_chunk(bench.data))
    with contextlib.closing(sqlite3.connect(bench.data / "ledger.db")) as ledger:
        ledger.execute("PRAGMA foreign_keys = ON")
        for table in ("cache_entries", "requests", "processing_jobs", "chunk_tasks"):
            ledger.execute(f"DELETE FROM {table}")
        ledger.commit()
    bench.keep()
    return bench


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("thread", [LEDGER_THREAD, L2_THREAD])
def test_a_chunk_is_stored_whole_or_not_at_all(chunk: Bench, thread: str) -> None:
    def check(trial: Trial) -> None:
        times = stored_times(chunk.data)
        if trial.said == "stored" or thread == L2_THREAD:
            # The ledger is written first, and what becomes of L2 does not matter.
            assert times == 1
        if thread == L2_THREAD and not trial.killed:
            assert trial.said == "stored"
        asyncio.run(store_chunk(chunk.data))
        assert stored_times(chunk.data) == 1
        no_leftovers(chunk)

    tried = go_through(chunk, thread, check)
    assert tried.total() >= 15


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("thread", [LEDGER_THREAD, POOL_THREAD])
@pytest.mark.parametrize("before", ["old", None])
def test_an_output_is_the_old_one_or_the_new_one(
    tmp_path: Path, thread: str, before: str | None
) -> None:
    bench = Bench("output", tmp_path)
    bench.data.mkdir(parents=True)
    (bench.data / "talk.mp3").write_bytes(b"sound")
    outputs = [bench.out / f"talk.{name}" for name in FORMATS]
    asyncio.run(write_output(bench.data, bench.out, before or "new"))
    old = [path.read_bytes() if before else None for path in outputs]
    if before is None:
        shutil.rmtree(bench.out)
        with contextlib.closing(sqlite3.connect(bench.data / "ledger.db")) as ledger:
            ledger.execute("DELETE FROM outputs")
            ledger.commit()
    bench.keep()
    asyncio.run(write_output(bench.data, bench.out, "new"))
    new = [path.read_bytes() for path in outputs]
    assert old != new

    def check(trial: Trial) -> None:
        integrity(bench.data)
        found = [path.read_bytes() if path.exists() else None for path in outputs]
        for each, was, will_be in zip(found, old, new, strict=True):
            assert each in (was, will_be)
        if trial.said == "stored":
            assert found == new
        asyncio.run(write_output(bench.data, bench.out, "new"))
        assert [path.read_bytes() for path in outputs] == new
        assert sorted(path.name for path in bench.out.iterdir()) == sorted(
            path.name for path in outputs
        )
        integrity(bench.data)
        no_leftovers(bench)

    tried = go_through(bench, thread, check)
    assert tried.total() >= 15

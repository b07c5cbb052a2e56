"""What a recording costs a real worker, from its statements and Redis's counters."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import msgspec
import redis

from benchmarks.cluster_costs import ANSWER_BYTES
from benchmarks.cluster_figures import RedisFigures, Step, Task
from benchmarks.recordings import Phrases
from benchmarks.runs import State, check, fresh_state
from benchmarks.stand_in import StandIn
from benchmarks.statement_log import Log, Unit
from benchmarks.workers import LANES, RECORDING_S, TIMEOUT_S, wait_until_idle
from sttbatch.caching.redis_level import RedisLevel
from sttbatch.core.cache_entries import CacheValue
from tests.database.postgresql import PostgreSQL
from tests.redis_server import RedisServer

RECORDINGS = 24
FEW = 4
IDLE_S = 5.0
VALUES = 200
SELDOM = 4
"""What fewer than one recording in so many needs is left out."""

PROGRAM = Path(__file__).resolve().parent / "statement_log.py"

CLAIM, STORE = "SqlWorkLedger.claim", "SqlWorkLedger.store"
# What belongs to a worker, not to a recording, or is measured by itself.
_BESIDE = ("LedgerWorkers.", "LedgerJobs.claim", "SqlWorkLedger.", "SharedRates.")
_POLLS = ("read workers", "read unseen", "read processing_jobs")


def traced_recordings(
    base: Path, endpoint: StandIn, server: PostgreSQL, phrases: Phrases
) -> tuple[Log, int]:
    """A worker's log of one recording and then of `RECORDINGS`, and how many units the one has."""
    path = base / "statements.json"
    command = (str(PROGRAM), str(path))
    with _worker(base, endpoint, server, {}, *command):
        folder = base / "first"
        phrases.folder(folder, [RECORDING_S])
        _submit(base, folder, endpoint, server, {})
        between = time.monotonic()
        folder = base / "traced"
        phrases.folder(folder, [RECORDING_S] * RECORDINGS)
        _submit(base, folder, endpoint, server, {})
    log = msgspec.json.decode(path.read_bytes(), type=Log)
    return log, sum(unit.at < between for unit in log.units)


def steps_of(log: Log, first: int, cpu_s_a_statement: float) -> tuple[list[Step], list[Step]]:
    """The steps before a chunk is claimed, and after it is stored, in order."""
    alone, many = log.units[:first], log.units[first:]
    units: dict[tuple[str, int], list[Unit]] = defaultdict(list)
    for unit in many:
        units[unit.label, _statements(unit)].append(unit)
    found: tuple[list[Step], list[Step]] = ([], [])
    for label, is_finish in _phases(alone).items():
        for (name, _), same in units.items():
            if name == label and len(same) >= RECORDINGS / SELDOM:
                found[is_finish].append(_step(label, same, cpu_s_a_statement))
    return found


def measurements_of(log: Log, cpu_s_a_statement: float) -> Task:
    """What a busy worker writes each second."""
    units = [each for each in log.units if each.store == "metrics" and each.statements <= 3]
    return _step("measurements", units, cpu_s_a_statement).task


def _phases(alone: Sequence[Unit]) -> dict[str, bool]:
    """Labels in order; whether they come after the answer."""
    phases: dict[str, bool] = {}
    is_claimed = is_stored = False
    for unit in alone:
        is_claimed |= unit.label == CLAIM
        is_stored |= unit.label == STORE
        beside = unit.label.startswith(_BESIDE) or unit.label in _POLLS
        if not beside and unit.store in {"", "ledger"} and (is_stored or not is_claimed):
            phases.setdefault(unit.label, is_stored)
    return phases


def _step(label: str, units: Sequence[Unit], cpu_s_a_statement: float) -> Step:
    writes = bool(units[0].store) and not label.startswith("read ")
    # Before a read the pool looks whether its connection is alive.
    statements = median(map(_statements, units)) + (not writes)
    seconds = median(each.seconds for each in units)
    source = f"median of {len(units)} in a worker"
    task = Task(statements, seconds, statements * cpu_s_a_statement, writes, source)
    return Step(label, len(units) / RECORDINGS, task)


def _statements(unit: Unit) -> int:
    """Without the savepoint of a read that came into a transaction."""
    return unit.statements - 2 * (bool(unit.store) and unit.label.startswith("read "))


def redis_costs(
    base: Path, endpoint: StandIn, server: PostgreSQL, broker: RedisServer, phrases: Phrases
) -> RedisFigures:
    extra = {"STTBATCH_BROKER_URL": f"{broker.url}/0", "STTBATCH_REDIS_URL": f"{broker.url}/0"}
    few, folder = base / "few", base / "rung"
    phrases.folder(few, [RECORDING_S] * FEW)
    phrases.folder(folder, [RECORDING_S] * RECORDINGS)
    with contextlib.closing(redis.Redis.from_url(f"{broker.url}/0")) as client:
        # The first messages bring the queues with them.
        check(_started(base, endpoint, server, extra, "submit", str(few), "-q").wait(), "")
        empty = client.info()
        check(_started(base, endpoint, server, extra, "submit", str(folder), "-q").wait(), "")
        queued = client.info()
        with _worker(base, endpoint, server, extra, "-m", "sttbatch"):
            _submit(base, folder, endpoint, server, extra)
            done = client.info()
            time.sleep(IDLE_S)
            idle = client.info()
    commands = _difference(queued, done, "total_commands_processed")
    idle_s = _difference(done, idle, "total_commands_processed") / IDLE_S
    cpu_s = sum(_difference(empty, idle, f"used_cpu_{each}") for each in ("sys", "user"))
    get_s, put_s, value_bytes = asyncio.run(_values(f"{broker.url}/1"))
    return RedisFigures(
        idle_commands_s=idle_s,
        commands_a_recording=commands / (FEW + RECORDINGS),
        # This script's own is not a worker's.
        connections=float(idle["connected_clients"]) - 1,
        message_bytes=_difference(empty, queued, "used_memory") / RECORDINGS,
        value_bytes=value_bytes,
        cpu_s_a_command=cpu_s / _difference(empty, idle, "total_commands_processed"),
        get_s=get_s,
        put_s=put_s,
    )


async def _values(url: str) -> tuple[float, float, float]:
    """Seconds of a look-up and of storing, and bytes in memory of a value."""
    level, value = RedisLevel(url), CacheValue(bytes(range(250)) * (ANSWER_BYTES // 250))
    put_s, get_s = [], []
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        before = client.info()
        for number in range(VALUES):
            begun_s = time.perf_counter()
            await level.put_many({f"chunk:{number:064}": value})
            stored_s = time.perf_counter()
            await level.get_many([f"chunk:{number:064}"])
            put_s.append(stored_s - begun_s)
            get_s.append(time.perf_counter() - stored_s)
        after = client.info()
    await level.aclose()
    return median(get_s), median(put_s), _difference(before, after, "used_memory") / VALUES


def _difference(before: object, after: object, name: str) -> float:
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    return float(after[name]) - float(before[name])


@contextlib.contextmanager
def _worker(
    base: Path, endpoint: StandIn, server: PostgreSQL, extra: dict[str, str], *program: str
) -> Iterator[None]:
    """A worker that is idle, and is drained at the end."""
    command = (*program, "worker", "-q", "-j", str(LANES))
    process = _process(fresh_state(base), endpoint, server, extra, *command)
    try:
        wait_until_idle(1, fresh_state(base), endpoint, server)
        yield
        process.terminate()
        process.wait(TIMEOUT_S)
    finally:
        process.kill()


def _submit(
    base: Path, folder: Path, endpoint: StandIn, server: PostgreSQL, extra: dict[str, str]
) -> None:
    command = ("submit", str(folder), "--wait", "-q")
    check(_started(base, endpoint, server, extra, *command).wait(TIMEOUT_S), "submit")


def _started(
    base: Path, endpoint: StandIn, server: PostgreSQL, extra: dict[str, str], *command: str
) -> subprocess.Popen[bytes]:
    return _process(fresh_state(base), endpoint, server, extra, "-m", "sttbatch", *command)


def _process(
    state: State, endpoint: StandIn, server: PostgreSQL, extra: dict[str, str], *command: str
) -> subprocess.Popen[bytes]:
    variables = {"STTBATCH_DATABASE_URL": server.url, "STTBATCH_RATE_LIMIT": "6000"} | extra
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=state.folder,
        env=state.environment(endpoint) | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )

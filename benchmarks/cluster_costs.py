"""What each part of a worker costs at PostgreSQL and Redis, measured with the real code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psycopg

from benchmarks.cluster_figures import Task
from benchmarks.statement_log import Group, Log, Unit, logged
from benchmarks.workers import serving
from sttbatch.composition.stores import work_ledger
from sttbatch.core.engine import APIRequest
from sttbatch.core.jobs import TRANSCRIPTION, Claim, JobPriority, JobSpec, WorkerLoad
from sttbatch.core.models import ChunkSpan, CutPoint
from sttbatch.core.orders import Order
from sttbatch.core.work import AUDIO_SECONDS, Granted, IndexedSpan, RequestRecord, Usage, WorkItem
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.opening import open_ledger, open_rates
from sttbatch.database.orders import SqlOrders
from sttbatch.database.results import SqlResultStore
from sttbatch.database.work_ledger import SqlWorkLedger
from sttbatch.database.workers import LedgerWorkers
from sttbatch.external.cloudru.admission import RateLimiter
from sttbatch.external.cloudru.rate_limit import RateLimits
from sttbatch.queue.dispatch import LedgerDispatcher
from sttbatch.queue.job_queue import JobQueue
from sttbatch.queue.liveness import Heartbeats
from sttbatch.queue.worker import WorkerRegistry
from tests.database.postgresql import PostgreSQL

REPEATS = 120
HOLDERS = 20
"""Other workers that hold a job each, while it is measured what it takes to look after them."""

ANSWER_BYTES = 16_000
"""A transcript of a chunk of 300 s, with its segments."""

FLUSHES = 60
ROUTE = "measured"
NEVER_S = 1e9
_SOURCE = f"median of {REPEATS} calls"

Call = Callable[[int], Awaitable[object]]


class Meter:
    """Takes the log and the server's CPU time for one kind of call after another."""

    def __init__(self, server: PostgreSQL, log: Log) -> None:
        self._server = server
        self._log = log
        self.tasks: dict[str, Task] = {}
        self._cpu_s = 0.0

    async def measure(self, name: str, call: Call) -> None:
        first, checks, checks_s = len(self._log.units), self._log.checks, self._log.checks_s
        calls: list[Sequence[Unit]] = []
        begun_s = self._server_cpu_s()
        for number in range(REPEATS):
            at = len(self._log.units)
            await call(number)
            calls.append(self._log.units[at:])
        used_s = self._server_cpu_s() - begun_s
        self._cpu_s += used_s
        writes = any(each.store for each in self._log.units[first:])
        # What precedes BEGIN is known for all transactions; each read has a look before it.
        looks = 0.0 if writes else (self._log.checks - checks) / REPEATS
        looks_s = 0.0 if writes else (self._log.checks_s - checks_s) / REPEATS
        self.tasks[name] = Task(
            statements=looks + statistics.median(sum(u.statements for u in c) for c in calls),
            seconds=looks_s + statistics.median(sum(u.seconds for u in c) for c in calls),
            cpu_s=used_s / REPEATS,
            writes=writes,
            source=_SOURCE,
        )

    @property
    def cpu_s_a_statement(self) -> float:
        log = self._log
        count = sum(unit.statements for unit in log.units) + log.checks
        count += sum(1 + group.ending for group in log.groups)
        return self._cpu_s / count

    def ending(self) -> Task:
        return ending_of(self._log.groups, self.cpu_s_a_statement)

    @property
    def before(self) -> float:
        """The pool looks at a connection, and BEGIN, which waits for the lock."""
        return 1 + self._log.checks / max(1, len(self._log.groups) + self._reads)

    @property
    def _reads(self) -> int:
        return sum(not unit.store for unit in self._log.units)

    def _server_cpu_s(self) -> float:
        return sum(_cpu_s(each.pid) for each in serving(self._server))


def _cpu_s(pid: int) -> float:
    """Seconds that a process of one thread has run; `cpu_times` counts in hundredths."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def ending_of(groups: Sequence[Group], cpu_s_a_statement: float) -> Task:
    statements = statistics.median(group.ending for group in groups)
    seconds = statistics.median(group.ending_s for group in groups)
    cpu_s = statements * cpu_s_a_statement
    return Task(statements, seconds, cpu_s, True, f"median of {len(groups)} transactions")


def component_costs(server: PostgreSQL) -> tuple[dict[str, Task], Task, float, float]:
    """Tasks by name, the end of a transaction, statements before its lock, CPU a statement."""
    with tempfile.TemporaryDirectory() as folder, logged() as log:
        meter = Meter(server, log)
        asyncio.run(_measure(Path(folder), server.url, meter))
    each_s = meter.cpu_s_a_statement
    ending, before = meter.ending(), meter.before
    around_s = ending.cpu_s + before * each_s
    tasks = {
        name: Task(
            task.statements,
            task.seconds,
            max(0.0, task.cpu_s - around_s) if task.writes else task.cpu_s,
            task.writes,
            task.source,
        )
        for name, task in meter.tasks.items()
    }
    alone, among = tasks.pop("upkeep alone"), tasks.pop("upkeep among others")
    tasks["upkeep"] = alone
    tasks["upkeep, each holder"] = Task(
        (among.statements - alone.statements) / HOLDERS,
        max(0.0, among.seconds - alone.seconds) / HOLDERS,
        max(0.0, among.cpu_s - alone.cpu_s) / HOLDERS,
        False,
        f"{_SOURCE}, {HOLDERS} holders less none",
    )
    return tasks, ending, before, each_s


async def _measure(folder: Path, url: str, meter: Meter) -> None:
    with contextlib.closing(open_ledger(folder, url)) as database:
        workers = LedgerWorkers(database)
        registry = WorkerRegistry(workers, Heartbeats())
        queue, orders = JobQueue(LedgerJobs(database), registry), SqlOrders(database)
        worker = await workers.register("0-measured", "here", os.getpid())
        dispatcher = LedgerDispatcher(queue, orders, worker, ROUTE, NEVER_S)
        await meter.measure("heartbeat", lambda _: workers.heartbeat(worker, WorkerLoad()))
        await meter.measure("load", lambda _: workers.tell(worker.id, WorkerLoad()))
        jobs = await _queued(queue, orders, 0, REPEATS)
        # The first one rings, the others find nothing to ring for.
        await meter.measure("ring", lambda _: orders.ring(ROUTE, NEVER_S, 1000))
        claims: list[Claim] = []

        async def claim(number: int) -> None:
            claimed = await queue.claim(jobs[number], worker)
            assert isinstance(claimed, Claim)
            claims.append(claimed)

        await meter.measure("job claim", claim)
        await dispatcher.keep_up()
        await meter.measure("upkeep alone", lambda _: dispatcher.keep_up())
        await meter.measure("idle poll", lambda _: dispatcher.next())
        await meter.measure("busy poll", lambda _: dispatcher.next((), JobPriority.MEDIUM))
        await _chunks(meter, work_ledger(database, SqlResultStore(database), worker.id), claims)
        for number, job_id in enumerate(await _queued(queue, orders, REPEATS, HOLDERS)):
            other = await workers.register(f"{number + 1}-other", "there", number + 1)
            assert isinstance(await queue.claim(job_id, other), Claim)
        await meter.measure("upkeep among others", lambda _: dispatcher.keep_up())
    rates = open_rates(folder, url, ROUTE, print)
    limiter = RateLimiter(RateLimits(100_000), rates)
    await meter.measure("rate slot", lambda _: limiter.wait())
    await limiter.aclose()


async def _queued(queue: JobQueue, orders: SqlOrders, first: int, count: int) -> list[str]:
    """Jobs that somebody ordered."""
    ids = []
    for number in range(first, first + count):
        name = f"/talks/{number}.mp3"
        asked = {"recording": name, "audio_s": 60.0, "request": {}}
        spec = JobSpec(TRANSCRIPTION, 1, asked)
        job = await queue.jobs.enqueue(f"{number:064}", 0, "request", spec)
        await orders.place([Order(f"{number:032}", job.id, name, "/talks", "{}", ROUTE)])
        ids.append(job.id)
    return ids


async def _chunks(meter: Meter, ledger: SqlWorkLedger, claims: Sequence[Claim]) -> None:
    granted: list[Granted] = []

    async def claim(number: int) -> None:
        usage = Usage(AUDIO_SECONDS, 300.0)
        key = f"chunk:{number:064}"
        span = ChunkSpan(0, CutPoint(0), CutPoint(1), 0.0, 300.0, ((0.0, 0.0),))
        indexed = IndexedSpan(f"{number:064}", 0, "request", span, key)
        item = WorkItem(key, f"{number:064}", 0, "cloudru", "whisper", usage, 1.0, indexed)
        verdict = await ledger.claim(item, claims[number].task_id)
        assert isinstance(verdict, Granted)
        granted.append(verdict)

    async def store(number: int) -> None:
        each = granted[number]
        request = APIRequest(time.time(), 1, 200, 5.0, 4_000_000, 300.0, paid=True)
        value = os.urandom(ANSWER_BYTES)
        await ledger.store(
            each, RequestRecord(each.item, request, value, each.worker_id, each.task_id)
        )

    await meter.measure("chunk claim", claim)
    await meter.measure("chunk completion", store)


def flush_s(folder: Path) -> float:
    """Seconds until 8 kB are on the disk of a folder: the median."""
    took_s = []
    with (folder / "flush").open("wb") as file:
        for _ in range(FLUSHES):
            begun_s = time.perf_counter()
            file.write(bytes(8192))
            file.flush()
            os.fdatasync(file.fileno())
            took_s.append(time.perf_counter() - begun_s)
    return statistics.median(took_s)


def usual_connections(url: str) -> int:
    """What an unconfigured server gives to all but superusers."""
    query = "SELECT boot_val::int FROM pg_settings WHERE name = %s"
    with psycopg.connect(url) as connection:
        ((most,),) = connection.execute(query, ("max_connections",)).fetchall()
        ((reserved,),) = connection.execute(query, ("superuser_reserved_connections",)).fetchall()
    return int(most) - int(reserved)

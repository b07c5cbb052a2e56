"""What a worker says of itself and of its ledger, for Prometheus to scrape or to be sent.

Needs the extra `prometheus`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from sttbatch.core.engine import FREE_ENGINES
from sttbatch.core.errors import StateError, UsageError
from sttbatch.core.jobs import JobPriority, Worker, WorkerLoad, WorkerState
from sttbatch.core.metrics import Window
from sttbatch.core.ports import OrderStore
from sttbatch.monitoring.exporter import ledger_families
from sttbatch.monitoring.families import build_family, family_of, gauge, of_ledger
from sttbatch.monitoring.statistics import Sources

ASK_EVERY_S = 5.0
"""The ledger is asked at most so often, and for at most a `SHARE` of the time."""

SHARE = 0.05

ANSWER_S = 5.0
"""How long a scrape waits for the ledger; Prometheus gives up after 10 s."""

GIVE_UP_S = 60.0
"""After so long it is asked again."""

_MINUTE_S = 60.0


class OwnFigures(Struct, frozen=True):
    """What a worker does now; `connections` are those of its ledger's pool, as psycopg_pool says.

    Attributes:
        requests_per_minute: the rate limit of all workers together; None: no limit.
    """

    load: WorkerLoad
    connections: Mapping[str, int]
    requests_per_minute: int | None = None


class LedgerFigures(Struct, frozen=True):
    """What is known of the whole ledger, by any of its workers.

    Attributes:
        living: the workers that are alive.
        route: of the queue.
    """

    sources: Sources
    orders: OrderStore
    living: Callable[[], Awaitable[Sequence[Worker]]]
    route: str


class WorkerCollector:
    """Collects the figures of one worker.

    Args:
        own: what it does now.
        ledger: its ledger while it is open.
        clock: in seconds.
    """

    def __init__(
        self,
        own: Callable[[], OwnFigures],
        ledger: Callable[[], LedgerFigures | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._own = own
        self._ledger = ledger
        self._asking: asyncio.Task[None] | None = None
        self._families: Sequence[Family] = ()
        self._ask_at = 0.0

    async def collect(self) -> list[Family]:
        """All families; those of the ledger are missing while it cannot be asked."""
        if self._clock() >= self._ask_at and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None:
            # It goes on if it takes longer, and is asked for nothing else meanwhile.
            await asyncio.wait([self._asking], timeout=ANSWER_S)
        is_known = self._asking is not None and self._asking.done() and bool(self._families)
        found = [build_family(), *_own_families(self._own())]
        found.append(gauge("worker_ledger_up", "1 if the ledger answers this worker", is_known))
        return [*found, *self._families] if is_known else found

    async def _ask(self) -> None:
        begun_at = self._clock()
        ledger, families = self._ledger(), list[Family]()
        try:
            if ledger is not None:
                # One that is closed meanwhile never answers.
                async with asyncio.timeout(GIVE_UP_S):
                    families = await _queue_families(ledger, self._own().requests_per_minute)
                    families += await ledger_families(ledger.sources)
                of_ledger(ledger.sources.ledger, families)
        except (StateError, TimeoutError):
            # The worker itself says what is wrong with it.
            families = []
        self._families = families
        took_s = self._clock() - begun_at
        self._ask_at = begun_at + max(ASK_EVERY_S, took_s / SHARE) if families else 0.0


class MetricsServer(Collector):
    """Answers scrapes with what a collector of the running event loop finds.

    Raises UsageError if `port` is taken, or not this user's to take.
    """

    def __init__(self, port: int, collector: WorkerCollector) -> None:
        self._collector = collector
        self._loop = asyncio.get_running_loop()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, registry=registry)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(
                f"--metrics-port {port}: {reason}; choose another port, one for each worker of a "
                "machine"
            ) from error
        self.port = self._server.server_port

    def collect(self) -> list[Family]:
        """Collect in the event loop, from the thread of a scrape."""
        return asyncio.run_coroutine_threadsafe(self._collector.collect(), self._loop).result()

    async def aclose(self) -> None:
        # Within the loop a scrape that waits for the loop could not end.
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()


def _own_families(own: OwnFigures) -> Iterator[Family]:
    load = own.load
    yield gauge("worker_lanes", "Requests that this worker may send at once", load.lanes)
    yield gauge("worker_busy_lanes", "Requests that this worker sends now", load.busy_lanes)
    yield gauge("worker_recordings", "Recordings that this worker processes", load.recordings)
    yield gauge(
        "worker_draining",
        "1 if this worker takes nothing more",
        load.state == WorkerState.DRAINING,
    )
    if not own.connections:
        return
    pool = Counter(own.connections)
    used = pool["pool_size"] - pool["pool_available"]
    yield family_of(
        GaugeMetricFamily,
        "worker_pool_connections",
        "Connections to PostgreSQL in the pool of this worker's ledger",
        {"used": used, "idle": pool["pool_available"]},
        "state",
    )
    yield gauge(
        "worker_pool_waiting", "Who waits for a connection of the pool", pool["requests_waiting"]
    )
    for name, text, value in (
        ("requests", "Requests for a connection of the pool", pool["requests_num"]),
        ("wait_seconds", "Waits for a connection", pool["requests_wait_ms"] / 1000),
        ("lost", "Connections that were lost", pool["connections_lost"]),
    ):
        yield family_of(CounterMetricFamily, f"worker_pool_{name}", text, {"": value})


async def _queue_families(ledger: LedgerFigures, requests_per_minute: int | None) -> list[Family]:
    waiting = await ledger.orders.queued(ledger.route)
    jobs = GaugeMetricFamily(
        "sttbatch_queue_jobs",
        "Submitted recordings that wait for a worker, by priority",
        labels=["route", "priority"],
    )
    for priority in sorted(JobPriority, reverse=True):
        count, _ = waiting.get(priority, (0, 0.0))
        jobs.add_metric([ledger.route, priority.name.lower()], count)
    oldest = GaugeMetricFamily(
        "sttbatch_queue_oldest_seconds",
        "How long the oldest of them has waited since it was submitted",
        labels=["route"],
    )
    oldest.add_metric([ledger.route], max((age_s for _, age_s in waiting.values()), default=0.0))
    found = [jobs, oldest, *_worker_families(await ledger.living())]
    if requests_per_minute is not None:
        now = time.time()
        figures = await ledger.sources.usage.requests_by("engine", Window(now - _MINUTE_S, now))
        sent = sum(each.total for name, each in figures.items() if name not in FREE_ENGINES)
        found.append(
            gauge(
                "rate_limit_used_ratio",
                "Requests of the last minute, of all workers, as a share of the rate limit",
                sent / requests_per_minute,
            )
        )
    return found


def _worker_families(living: Sequence[Worker]) -> Iterator[Family]:
    states = Counter(str(worker.load.state).lower() for worker in living if worker.load.state)
    shown = (WorkerState.ACTIVE, WorkerState.IDLE, WorkerState.DRAINING)
    yield family_of(
        GaugeMetricFamily,
        "workers",
        "Living workers of the ledger, by state",
        {state: states[state] for state in (str(each).lower() for each in shown)},
        "state",
    )
    beats = GaugeMetricFamily(
        "sttbatch_workers_heartbeat_age_seconds",
        "Since the last heartbeat of each living worker or run; dead after 45 s",
        labels=["host", "pid"],
    )
    for worker in living:
        beats.add_metric([worker.machine, str(worker.pid)], worker.silent_s)
    yield beats

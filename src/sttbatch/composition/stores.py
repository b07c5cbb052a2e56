"""Opens the folders, the ledger, the levels of the cache and the sources of statistics."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from sttbatch.composition.credentials import payload_seal
from sttbatch.composition.settings import Settings
from sttbatch.core.errors import ExtraMissing
from sttbatch.core.options import MIB
from sttbatch.core.work import Budgets
from sttbatch.database.database import Database
from sttbatch.database.opening import LEDGER, open_ledger, open_metrics
from sttbatch.database.private_files import private_folder

if TYPE_CHECKING:
    from sttbatch.caching.disk_level import DiskLevel
    from sttbatch.caching.multi_level_cache import MultiLevelCache
    from sttbatch.caching.redis_level import RedisLevel
    from sttbatch.core.ports import (
        AlertStore,
        FileIndex,
        JobStore,
        OrderStore,
        OutputStore,
        SpeakerNames,
        WorkLedger,
    )
    from sttbatch.database.results import SqlResultStore
    from sttbatch.database.sealing import Resealed
    from sttbatch.database.work_ledger import SqlWorkLedger
    from sttbatch.monitoring.statistics import Sources
    from sttbatch.queue.job_queue import JobQueue
    from sttbatch.queue.worker import WorkerRegistry

ANSWERS = "answers"


def data_folder(settings: Settings) -> Path:
    """The folder of the ledger and other state; created private on first use."""
    if settings.data_dir:
        return private_folder(Path(settings.data_dir).expanduser())
    from platformdirs import user_data_path

    return private_folder(user_data_path("sttbatch"))


def cache_folder(settings: Settings) -> Path:
    """The folder of the L2 cache on disk, which is not created here, and may be named by a link."""
    if settings.cache_dir:
        return Path(settings.cache_dir).expanduser().resolve()
    from platformdirs import user_cache_path

    return user_cache_path("sttbatch").resolve()


def private_folders(settings: Settings) -> tuple[Path, Path]:
    """The data folder and the cache folder, which are created if they are missing."""
    return data_folder(settings), private_folder(cache_folder(settings))


def opened_ledger(settings: Settings) -> contextlib.closing[Database]:
    """The ledger, for a `with`; raises as `open_ledger`."""
    seal = payload_seal(settings)
    return contextlib.closing(open_ledger(data_folder(settings), settings.database_url, seal=seal))


def is_first_run(settings: Settings) -> bool:
    """Whether nothing is known of any recording, as there is no ledger yet."""
    return settings.database_url is None and not (data_folder(settings) / LEDGER).exists()


def work_ledger(
    database: Database,
    results: SqlResultStore,
    worker_id: str = "",
    budgets: Budgets | None = None,
) -> SqlWorkLedger:
    """The work ledger of a worker; without a `worker_id` it books requests and claims nothing."""
    from sttbatch.database.chunk_index import SqlChunkIndex
    from sttbatch.database.work_ledger import SqlWorkLedger

    spans = SqlChunkIndex(database, results)
    return SqlWorkLedger(database, worker_id, results, spans, budgets or Budgets())


def worker_registry(settings: Settings, database: Database) -> WorkerRegistry:
    """The workers of a ledger: a file's are on this machine, others are known by heartbeats."""
    from sttbatch.database.workers import LedgerWorkers
    from sttbatch.queue.liveness import FileLocks, Heartbeats
    from sttbatch.queue.worker import WorkerRegistry

    liveness = Heartbeats() if settings.database_url else FileLocks(data_folder(settings))
    return WorkerRegistry(LedgerWorkers(database), liveness)


def this_host(settings: Settings) -> str:
    """The name of this machine in a ledger of several; a file's ledger needs none."""
    return platform.node() if settings.database_url else ""


def ledger_name(settings: Settings, database: Database) -> str:
    """What a ledger is called among those that one Prometheus knows."""
    return database.title if settings.database_url else f"{platform.node()}:{data_folder(settings)}"


class LedgerStores:
    """The stores in an open ledger; their modules are imported by their first use."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database

    @cached_property
    def results(self) -> SqlResultStore:
        from sttbatch.database.results import SqlResultStore

        return SqlResultStore(self.database, max_age_s=self.settings.cache_max_age)

    @cached_property
    def bookings(self) -> WorkLedger:
        """A work ledger that books requests and claims nothing."""
        return work_ledger(self.database, self.results)

    @cached_property
    def files(self) -> FileIndex:
        from sttbatch.database.files import SqlFileIndex

        return SqlFileIndex(self.database)

    @cached_property
    def outputs(self) -> OutputStore:
        from sttbatch.database.outputs import SqlOutputStore

        return SqlOutputStore(self.database, this_host(self.settings))

    @cached_property
    def speaker_names(self) -> SpeakerNames:
        from sttbatch.database.speaker_names import SqlSpeakerNames

        return SqlSpeakerNames(self.database)

    @cached_property
    def alerts(self) -> AlertStore:
        from sttbatch.database.alerts import Alerts

        return Alerts(self.database)

    @cached_property
    def jobs(self) -> JobStore:
        from sttbatch.database.jobs import LedgerJobs

        return LedgerJobs(self.database)

    @cached_property
    def orders(self) -> OrderStore:
        from sttbatch.database.orders import SqlOrders

        return SqlOrders(self.database)

    async def reseal(self) -> Resealed:
        from sttbatch.database.sealing import reseal

        return await reseal(self.database)

    @cached_property
    def workers(self) -> WorkerRegistry:
        return worker_registry(self.settings, self.database)

    @cached_property
    def queue(self) -> JobQueue:
        from sttbatch.queue.job_queue import JobQueue

        return JobQueue(self.jobs, self.workers)


@contextlib.contextmanager
def opened_stores(settings: Settings) -> Iterator[LedgerStores]:
    """The stores of the ledger, which is opened; raises StateError as `open_ledger`."""
    with opened_ledger(settings) as database:
        yield LedgerStores(settings, database)


class Caches(Struct, frozen=True):
    """All levels together, and those that commands use alone."""

    levels: MultiLevelCache
    l2: DiskLevel | RedisLevel
    ledger: SqlResultStore


def disk_level(settings: Settings) -> DiskLevel:
    """L2 in a folder, which is opened by its first use."""
    from sttbatch.caching.disk_level import DiskLevel

    return DiskLevel(cache_folder(settings) / "l2", int(settings.l2_max_mb * MIB))


def redis_level(settings: Settings) -> RedisLevel:
    """L2 at `redis_url`; raises ExtraMissing if Redis's client is not installed."""
    assert settings.redis_url is not None
    try:
        from sttbatch.caching.redis_level import RedisLevel
    except ImportError as error:
        raise ExtraMissing(
            f"redis_url needs {error.name}: pip install 'sttbatch[cluster]', or unset it"
        ) from error
    return RedisLevel(settings.redis_url)


@contextlib.asynccontextmanager
async def open_caches(
    settings: Settings, database: Database, warn: Callable[[str], None]
) -> AsyncIterator[Caches]:
    """L1, L2 and L3; `warn` is called once per incident. Raises ExtraMissing as `redis_level`."""
    from sttbatch.caching.memory_level import MemoryLevel
    from sttbatch.caching.multi_level_cache import MultiLevelCache
    from sttbatch.database.results import SqlResultStore

    memory = MemoryLevel(int(settings.l1_max_mb * MIB))
    l2 = redis_level(settings) if settings.redis_url else disk_level(settings)
    ledger = SqlResultStore(database, max_age_s=settings.cache_max_age, warn=warn)
    levels = MultiLevelCache((memory, l2), ledger, warn=warn)
    try:
        yield Caches(levels, l2, ledger)
    finally:
        await levels.aclose()


@contextlib.contextmanager
def statistics_sources(settings: Settings) -> Iterator[Sources]:
    """The sources of statistics, which are created if they are missing."""
    from sttbatch.database.measurements import Measurements
    from sttbatch.database.usage_queries import UsageFigures
    from sttbatch.monitoring.statistics import Sources

    with (
        contextlib.closing(open_metrics(data_folder(settings), settings.database_url)) as metrics,
        opened_ledger(settings) as ledger,
    ):
        yield Sources(Measurements(metrics), UsageFigures(ledger), ledger_name(settings, ledger))

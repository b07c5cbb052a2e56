"""Opens the databases: files of a data folder, or PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sttbatch.core.errors import ExtraMissing
from sttbatch.database.database import Database
from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.metrics_schema import METRICS_HISTORY
from sttbatch.database.migrations import History
from sttbatch.database.payload_seal import PLAIN, PayloadSeal
from sttbatch.database.sealing import check_keys
from sttbatch.database.sqlite_file import Clock, SqliteFile
from sttbatch.database.store import Store

if TYPE_CHECKING:
    from sttbatch.core.ports import RateStore
    from sttbatch.database.postgresql import PostgreSQLStore
    from sttbatch.database.search_index import SqlSearchIndex


LEDGER = "ledger.db"
RATES = "rate.db"
SEARCH = "search.db"


def ledger_store(data_folder: Path, url: str | None = None, clock: Clock = time.time) -> Store:
    """The ledger at `url`, or ledger.db, whose times are all by `clock`, in epoch seconds.

    Raises ExtraMissing if PostgreSQL's driver is not installed.
    """
    if url is not None:
        return postgresql_store(url, LEDGER_HISTORY)
    return SqliteFile(data_folder / LEDGER, LEDGER_HISTORY, clock=clock)


def metrics_store(data_folder: Path, url: str | None = None, clock: Clock = time.time) -> Store:
    """The tables of metrics beside the ledger; a crash may lose their last second."""
    if url is not None:
        return postgresql_store(url, METRICS_HISTORY, durable=False)
    return SqliteFile(data_folder / "metrics.db", METRICS_HISTORY, "NORMAL", clock)


def open_ledger(
    data_folder: Path,
    url: str | None = None,
    clock: Clock = time.time,
    seal: PayloadSeal = PLAIN,
) -> Database:
    """Open the `ledger_store`, and raise what it raises.

    Raises StateError if it cannot be opened, is damaged, or was written by a newer sttbatch, and
    UsageError if something in it is sealed with a key that `seal` does not have.
    """
    return Database(ledger_store(data_folder, url, clock), seal, partial(check_keys, seal=seal))


def open_metrics(data_folder: Path, url: str | None = None, clock: Clock = time.time) -> Database:
    """Open the `metrics_store` as `open_ledger` does."""
    return Database(metrics_store(data_folder, url, clock))


def open_rates(
    data_folder: Path, url: str | None, bucket: str, warn: Callable[[str], None]
) -> RateStore:
    """The state of the rate limit of `bucket`; raises as `open_ledger`."""
    from sttbatch.database.rates import RATES_HISTORY, SharedRates, SqliteRates

    if url is not None:
        return SharedRates(Database(postgresql_store(url, RATES_HISTORY, durable=False)), bucket)
    return SqliteRates(data_folder / RATES, bucket, warn)


def open_search(data_folder: Path, url: str | None) -> SqlSearchIndex:
    """The search index beside the ledger, which can be made again; raises as `open_ledger`."""
    if url is not None:
        from sttbatch.database.search_postgresql import PostgreSQLSearchIndex
        from sttbatch.database.search_schema import POSTGRESQL_SEARCH_HISTORY

        store = postgresql_store(url, POSTGRESQL_SEARCH_HISTORY, durable=False)
        return PostgreSQLSearchIndex(Database(store))
    from sttbatch.database.search_schema import SQLITE_SEARCH_HISTORY
    from sttbatch.database.search_sqlite import SqliteSearchIndex

    file = SqliteFile(data_folder / SEARCH, SQLITE_SEARCH_HISTORY, "NORMAL")
    file.advice = "Is the disk full? `sttbatch index --rebuild` makes the index anew"
    return SqliteSearchIndex(Database(file))


def remove_search(data_folder: Path) -> None:
    """Remove the file of the search index, such as one that is damaged."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        data_folder.joinpath(SEARCH + suffix).unlink(missing_ok=True)


def stop_waiting(url: str | None) -> None:
    """Have this process wait for a PostgreSQL that is away no longer, until it is back."""
    if url is not None:
        from sttbatch.database import postgresql_connections

        postgresql_connections.stop_waiting(url)


def postgresql_store(url: str, history: History, *, durable: bool = True) -> PostgreSQLStore:
    """The tables of `history` in PostgreSQL; raises ExtraMissing if its driver is not installed."""
    try:
        from sttbatch.database.postgresql import PostgreSQLStore
    except ImportError as error:
        raise ExtraMissing(
            f"a ledger in PostgreSQL needs {error.name}: pip install 'sttbatch[cluster]'"
        ) from error
    return PostgreSQLStore(url, history, durable=durable)

"""Moves a ledger and its metrics between a data folder and PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import ANSWERS, data_folder, opened_stores, this_host
from sttbatch.core.errors import UsageError
from sttbatch.database.copying import copy_tables, move_outputs, refuse_if_used, row_counts
from sttbatch.database.database import translated
from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.metrics_schema import METRICS_HISTORY
from sttbatch.database.opening import ledger_store, metrics_store
from sttbatch.database.private_files import private_folder
from sttbatch.database.store import Store


class Location(Struct, frozen=True):
    """Where a ledger is: a data folder, or the address of a PostgreSQL database."""

    text: str

    @property
    def url(self) -> str | None:
        return self.text if "://" in self.text else None

    @property
    def folder(self) -> Path:
        return Path(self.text).expanduser()

    def settings(self, settings: Settings) -> Settings:
        """`settings` for the ledger that is here."""
        if self.url is not None:
            return replace(settings, database_url=self.url)
        return replace(settings, data_dir=self.text, database_url=None)

    def spool(self, settings: Settings) -> Path | None:
        """Where this machine keeps answers that this ledger could not store; None: nowhere."""
        if self.url is None:
            return self.folder / ANSWERS
        # Without a ledger of its own there, the folder's answers are for the one that is named.
        folder = data_folder(settings)
        is_named = self.url == settings.database_url
        is_alone = settings.database_url is None and not (folder / "ledger.db").exists()
        return folder / ANSWERS if is_named or is_alone else None

    def stores(self) -> tuple[Store, Store]:
        """The ledger and its metrics."""
        return ledger_store(self.folder, self.url), metrics_store(self.folder, self.url)


async def copy_ledger(source: Location, target: Location, settings: Settings) -> dict[str, int]:
    """Copy a ledger and its metrics; returns the numbers of rows by table.

    Raises:
        UsageError: there is no such ledger, or a process works at one of them. Those that begin
            meanwhile wait.
        StateError: one of them cannot be used, or the target is not empty.
    """
    if source.url is None and not (source.folder / "ledger.db").is_file():
        raise UsageError(f"{source.folder} has no ledger.db; name a data folder")
    if target.url is None:
        private_folder(target.folder)
    await _tidy_up(source.settings(settings), source.spool(settings))
    # What it could not store is booked by its next run: now it has to be empty.
    await _tidy_up(target.settings(settings), None)
    copied: dict[str, int] = {}
    hosts = [this_host(each.settings(settings)) for each in (source, target)]
    finishes = (lambda _: None, lambda session: move_outputs(session, *hosts))
    histories = (METRICS_HISTORY, LEDGER_HISTORY)
    pairs = zip(reversed(source.stores()), reversed(target.stores()), strict=True)
    with contextlib.ExitStack() as opened:
        for (one, other), history, finish in zip(pairs, histories, finishes, strict=True):
            for store in (one, other):
                opened.enter_context(_naming_faults(store))
                store.open()
                opened.callback(store.close)
            counts = row_counts(one, history.tables)
            # A copy that was cut off left all metrics or none: the ledger follows them.
            is_there = history is METRICS_HISTORY and row_counts(other, history.tables) == counts
            copied |= counts if is_there else copy_tables(one, other, history.tables, finish)
    return copied


@contextlib.contextmanager
def _naming_faults(store: Store) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise translated(store, error) from error


async def _tidy_up(settings: Settings, spool: Path | None) -> None:
    """Book what dead processes left, and answers in `spool`; raises UsageError if any lives."""
    from sttbatch.caching.response_spool import ResponseSpool

    with opened_stores(settings) as stores:
        await stores.workers.sweep()
        await stores.database.read(lambda session: refuse_if_used(session, stores.database.title))
        if spool is not None:
            async with contextlib.aclosing(ResponseSpool(spool, lanes=0)) as answers:
                await answers.recover_into(stores.bookings)

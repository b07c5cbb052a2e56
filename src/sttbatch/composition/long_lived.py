"""LongLivedProcess: works in one workshop until it is drained, and opens its ledger again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

from sttbatch.composition.effective_options import check_device
from sttbatch.composition.process_limits import check_process_limits
from sttbatch.composition.run_monitoring import DailyMetrics, watching
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import data_folder, opened_ledger
from sttbatch.composition.workshop import Workshop, open_workshop
from sttbatch.core.errors import StateError
from sttbatch.core.events import Event, Warned
from sttbatch.core.jobs import WorkerLoad
from sttbatch.database.private_files import run_folder
from sttbatch.processing.media.media_workers import MediaWorkers

if TYPE_CHECKING:
    from sttbatch.external.secret import Secret
    from sttbatch.monitoring.alerts import AlertRule

REOPEN_S = 5.0
"""Seconds before a ledger is opened again that could not be used."""


class LongLivedProcess:
    """What processes that live for months have in common; a subclass works in the workshop.

    Args:
        key: the API key; None: the engine needs none.
        alerts: rules that are evaluated every minute.
        listeners: receive every event.
    """

    def __init__(
        self,
        settings: Settings,
        key: Secret | None,
        *,
        alerts: Sequence[AlertRule] = (),
        listeners: Sequence[Callable[[Event], None]] = (),
    ) -> None:
        self._settings = settings
        self._key = key
        self._alerts = alerts
        self._metrics = DailyMetrics(settings, self.warn)
        self._listeners: list[Callable[[Event], None]] = [self._metrics, *listeners]
        # The latest one, which may be closed.
        self._workshop: Workshop | None = None
        self._open_workshop: Workshop | None = None
        self._drained = asyncio.Event()

    def drain(self) -> None:
        """Begin nothing new; requests in flight are finished and stored, then `run` returns."""
        self._drained.set()

    async def run(self) -> None:
        """Work until `drain`.

        Raises:
            EndpointRefused: the key, the quota or the address.
            UsageError: a setting is wrong.
            StateError: the ledger could not be used for `outage_wait`.
        """
        check_process_limits()
        check_device(self._settings)
        failing_since: float | None = None
        while not self._drained.is_set():
            is_open = False
            try:
                async with self._opened() as workshop:
                    is_open = True
                    await self._work(workshop)
            except StateError as error:
                if self._drained.is_set():
                    return
                if self._workshop is None and self._settings.database_url is None:
                    # A file that cannot be opened will not come up.
                    raise
                if failing_since is None or (is_open and self._has_used_ledger()):
                    failing_since = time.monotonic()
                    wait_s = self._settings.outage_wait
                    self.warn(f"{error}; waiting up to {wait_s:.0f} s for the ledger")
                if time.monotonic() - failing_since > self._settings.outage_wait:
                    raise
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._drained.wait(), REOPEN_S)

    def warn(self, message: str) -> None:
        self.emit(Warned("", message))

    def emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    async def _work(self, workshop: Workshop) -> None:
        """Work until `drain`; raises StateError if the ledger cannot be used."""
        raise NotImplementedError

    def _has_used_ledger(self) -> bool:
        """Whether the ledger could be used since it was opened last."""
        raise NotImplementedError

    def _lost(self, error: StateError) -> None:
        """End, as others may take this process for dead; its runs end anyway."""
        raise NotImplementedError

    def _load(self) -> WorkerLoad | None:
        """What `sttbatch workers` shows; None: it is no worker."""
        return None

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[Workshop]:
        folder = data_folder(self._settings)
        with opened_ledger(self._settings) as database, run_folder(folder / "spool") as spool:
            async with (
                self._metrics.measuring(),
                watching(self._alerts, database, self.emit),
                MediaWorkers(spool, spare=True) as media,
                open_workshop(
                    self._settings,
                    folder,
                    database,
                    media,
                    self._key,
                    self.emit,
                    load=self._load,
                    on_lost=self._lost,
                ) as workshop,
            ):
                self._workshop = self._open_workshop = workshop
                try:
                    yield workshop
                finally:
                    self._open_workshop = None

"""WatchProcess: transcribes what is in folders, and what arrives in them, until it is drained."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.caching.fingerprints import Fingerprinter, unread_content
from sttbatch.composition.batch_run import fulfil_orders_of
from sttbatch.composition.effective_options import terms_left_out
from sttbatch.composition.known_origin import at_known_origin
from sttbatch.composition.long_lived import LongLivedProcess
from sttbatch.composition.settings import Settings
from sttbatch.composition.unchanged_recordings import report_up_to_date
from sttbatch.composition.workshop import Workshop, transcription_run
from sttbatch.core.errors import BudgetReached, EndpointUnreachable, StateError, SttbatchError
from sttbatch.core.events import Event, RunStopped
from sttbatch.core.jobs import JobPriority
from sttbatch.database.files import SqlFileIndex
from sttbatch.execution.pay_once import RunBudget
from sttbatch.kinds.report import BatchReport, Outcome
from sttbatch.kinds.transcription.pipeline import TranscriptionPipeline
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.processing.arrivals import (
    LONGEST_RETRY_S,
    RETRY_S,
    Arrivals,
    Identity,
    changes,
    identities,
)
from sttbatch.processing.discovery import Candidate, Discovery

if TYPE_CHECKING:
    from sttbatch.external.secret import Secret
    from sttbatch.monitoring.alerts import AlertRule
    from sttbatch.outputs.document import Document

MOST_BATCHES = 4
"""What arrives is transcribed beside what is; a batch of long recordings takes hours."""

LOOKING_SHARE = 0.1
"""Looks at folders take at most this share of the time, however often files change in them."""

_LEFT = frozenset({Outcome.LEFT, Outcome.TAKEN})


class Watched(Struct, frozen=True):
    """What is watched, and how.

    Attributes:
        folders: those of the file system among `look`'s, of whose changes the system tells.
        look: finds all recordings, in a thread.
        settle_s: for so long a file has to be unchanged.
        poll_s: so long after a look is the next one, whether the system tells of a change or not.
    """

    folders: Sequence[Path]
    look: Callable[[], Discovery]
    settle_s: float
    poll_s: float


class WatchProcess(LongLivedProcess):
    """Transcribes what is in folders, and what arrives in them, until it is drained.

    Args:
        on_batch: is called with the report of each batch, and its wall seconds.
        observe: as of `BatchRun`.
    """

    def __init__(
        self,
        settings: Settings,
        key: Secret | None,
        watched: Watched,
        config: RunConfig,
        priority: JobPriority,
        on_batch: Callable[[BatchReport, float], None],
        *,
        alerts: Sequence[AlertRule] = (),
        listeners: Sequence[Callable[[Event], None]] = (),
        observe: Callable[[Document], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(settings, key, alerts=alerts, listeners=listeners)
        self._watched = watched
        self._config = replace(config, run=replace(config.run, no_wait=True))
        self._priority = priority
        self._on_batch = on_batch
        self._observe = observe
        self._budget = RunBudget(config.run.max_cost)
        self._arrivals = Arrivals(watched.settle_s)
        self._batches: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()
        self._woken = asyncio.Event()
        # Of whose folders the system tells, and that others are in their places, or it is the end.
        self._followed: list[Identity | None] = []
        self._unfollowed = asyncio.Event()
        self._error: Exception | None = None
        self._has_ended_batch = False
        self._pause_s = 0.0
        self._paused_until_s = -math.inf

    def drain(self) -> None:
        """Begin nothing new; requests in flight are finished and stored, then `run` returns."""
        super().drain()
        self._end()

    async def run(self) -> None:
        """Watch until `drain`; raises as its base does."""
        if (left_out := terms_left_out(self._settings)) is not None:
            self.warn(left_out)
        await super().run()

    async def _work(self, workshop: Workshop) -> None:
        self._error, self._has_ended_batch = None, False
        self._ending.clear()
        if self._drained.is_set():
            return
        config = await at_known_origin(self._config, workshop.database)
        noticing = asyncio.create_task(self._notice())
        # What changes after the first look is noticed from here on.
        await asyncio.sleep(0)
        try:
            while not self._ending.is_set():
                await self._look(workshop, config)
            await self._finished(noticing)
        finally:
            self._ending.set()
            self._unfollowed.set()
            for each in (tasks := [noticing, *self._batches]):
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._error is not None:
            raise self._error

    def _has_used_ledger(self) -> bool:
        return self._has_ended_batch

    def _lost(self, error: StateError) -> None:
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End because of an error, which `_work` raises; the first one counts."""
        self._error = self._error or error
        self._end()

    def _end(self) -> None:
        self._ending.set()
        self._unfollowed.set()
        self._woken.set()
        for run in self._open_workshop.runs if self._open_workshop is not None else ():
            run.stop()

    async def _finished(self, noticing: asyncio.Task[None]) -> None:
        await noticing
        while self._batches:
            await asyncio.wait(self._batches)

    async def _notice(self) -> None:
        """Wake when the system tells of a change, of the folders that are there at the time."""
        is_told = bool(self._watched.folders)

        def failed(reason: str) -> None:
            nonlocal is_told
            is_told = False
            pause = f"{self._watched.poll_s:.0f} s"
            self.warn(
                f"the system reports no changes ({reason}); folders are searched every {pause}"
            )

        while is_told and not self._ending.is_set():
            self._unfollowed.clear()
            self._followed = identities(self._watched.folders)
            async for _ in changes(self._watched.folders, self._unfollowed, failed):
                self._woken.set()
            # What changes until the system is asked again is seen by one more look.
            asyncio.get_running_loop().call_soon(self._woken.set)

    def _follow(self, found: list[Identity | None]) -> float:
        """Follow folders that were replaced, or mounted; returns when to look for those gone."""
        if None in found:
            return time.monotonic() + RETRY_S
        if found != self._followed:
            self._followed = found
            self._unfollowed.set()
        return math.inf

    async def _look(self, workshop: Workshop, config: RunConfig) -> None:
        """Begin a batch of what is due, and return when there may be more."""
        began_s = free_s = time.monotonic()
        next_s = self._paused_until_s
        if len(self._batches) >= MOST_BATCHES:
            next_s = math.inf
        elif began_s >= next_s:
            found, folders = await asyncio.to_thread(self._look_at_all)
            free_s += (time.monotonic() - began_s) / LOOKING_SHARE
            due = self._arrivals.take(found)
            if due.candidates or due.failures or due.unreadable or due.skipped:
                batch = asyncio.create_task(self._transcribe(workshop, config, due))
                self._batches.add(batch)
                batch.add_done_callback(self._batches.discard)
            poll_s = began_s + self._watched.poll_s
            next_s = min(self._arrivals.due_s, poll_s, self._follow(folders))
        await _until(self._woken, next_s)
        await _until(self._ending, free_s)
        self._woken.clear()

    def _look_at_all(self) -> tuple[Discovery, list[Identity | None]]:
        folders = identities(self._watched.folders)
        return self._watched.look(), folders

    async def _transcribe(self, workshop: Workshop, config: RunConfig, due: Discovery) -> None:
        report, began_s, taken = BatchReport(), time.monotonic(), [*due.candidates]

        def emit(event: Event) -> None:
            report(event)
            self.emit(event)

        pipeline = transcription_run(
            workshop,
            config,
            emit,
            priority=self._priority,
            observe=self._observe,
            budget=self._budget,
        )
        try:
            if self._ending.is_set():
                pipeline.control.stop()
            if self._observe is None:
                await report_up_to_date(self._settings, workshop.database, due, config, emit)
            if due.candidates or due.failures:
                await pipeline.run(due)
                await fulfil_orders_of(workshop, pipeline, self._settings, emit)
            await self._have_tried_again(workshop, pipeline, taken, report)
        except SttbatchError as error:
            emit(RunStopped("", error))
            self._arrivals.try_again(taken)
        except Exception as error:  # noqa: BLE001 - `_work` raises it
            self._fail(error)
        finally:
            self._woken.set()
        self._go_on_after(report)
        self._on_batch(report, time.monotonic() - began_s)

    async def _have_tried_again(
        self,
        workshop: Workshop,
        pipeline: TranscriptionPipeline,
        taken: Sequence[Candidate],
        report: BatchReport,
    ) -> None:
        """Have what was left or has failed be due again, but for dead letters."""
        outcomes = {each.display_path: each.outcome for each in report.recordings}
        left = [each for each in taken if outcomes.get(each.display_path) in _LEFT]
        failed = [each for each in taken if outcomes.get(each.display_path) is Outcome.FAILED]
        if failed:
            dead = await pipeline.claims.dead_letters()
            index = Fingerprinter(SqlFileIndex(workshop.database))
            await index.load([each.path.absolute() for each in failed])
            for each in failed:
                content = index.unchanged(os.fsencode(each.path.absolute()), each.status)
                if not dead.keys() & {content, unread_content(each.path)}:
                    left.append(each)
        self._arrivals.try_again(left)

    def _go_on_after(self, report: BatchReport) -> None:
        """Pause after an outage, or while a budget is used up; end after any other error."""
        error = report.fatal
        has_own_limit = self._budget.limit is not None
        if error is None:
            self._has_ended_batch = True
            self._pause_s = 0.0
        elif isinstance(error, EndpointUnreachable) or (
            isinstance(error, BudgetReached) and not has_own_limit
        ):
            self._has_ended_batch = True
            if not self._pause_s:
                self.warn(f"{error}; watching continues when that is over")
            self._pause_s = min(2 * self._pause_s, LONGEST_RETRY_S) or RETRY_S
            self._paused_until_s = time.monotonic() + self._pause_s
        else:
            self._fail(error)


async def _until(event: asyncio.Event, at_s: float) -> None:
    """Return when `event` is set, or at a time of the monotonic clock."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None if at_s == math.inf else at_s - time.monotonic()):
            await event.wait()

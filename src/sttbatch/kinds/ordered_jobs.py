"""OrderedJobs: does jobs for those who ordered their outputs."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.core.errors import RecordingError, StateError, Stopped, UsageError
from sttbatch.core.events import Emit, Event, Warned
from sttbatch.core.jobs import Claim, Job, JobStatus, Worker
from sttbatch.core.locations import FileStatus, ObjectUrl, is_object, location
from sttbatch.core.orders import Assignment, Order, OrderEnd
from sttbatch.core.ports import OrderStore
from sttbatch.execution.worker_service import JobEnd
from sttbatch.kinds.ordering import outputs_from_json
from sttbatch.kinds.registry import job_kind
from sttbatch.kinds.report import BatchReport, Outcome, RecordingReport
from sttbatch.kinds.run_control import RunControl
from sttbatch.kinds.transcription.fetched_objects import FetchedObjects
from sttbatch.processing.discovery import Candidate, Discovery
from sttbatch.queue.dispatch import fail_ordered
from sttbatch.queue.job_queue import JobQueue


class OrderedRun(Protocol):
    """A run for one job."""

    @property
    def control(self) -> RunControl: ...

    async def run(self, discovery: Discovery) -> None:
        """Run to the end; events report the results."""


class NewRun(Protocol):
    """Makes the run for a job of any kind; `forced`: it is done again though it is stored."""

    async def __call__(self, assigned: Assignment, emit: Emit, *, forced: bool) -> OrderedRun: ...


class OrderedJobs(Struct, frozen=True):
    """Does jobs of all kinds, and writes the outputs of every order.

    Attributes:
        stopping: whether nothing new is begun.
    """

    worker: Worker
    queue: JobQueue
    orders: OrderStore
    new_index: Callable[[], Fingerprinter]
    new_run: NewRun
    stopping: Callable[[], bool]
    emit: Emit
    fetched: FetchedObjects | None = None

    async def process(self, assignment: Assignment) -> JobEnd:
        """Do a job; nothing that happens to it ends the process."""
        job, claim = assignment.job, assignment.claim
        try:
            return await self._process(assignment)
        except Stopped:
            return JobEnd(again=True)
        except StateError as error:
            return JobEnd(again=True, error=error)
        except Exception as error:  # noqa: BLE001 - one recording must not end all workers in turn
            reason = f"internal error: {type(error).__name__}: {error}"
            self.emit(Warned(job.spec.title, reason))
            with contextlib.suppress(StateError):
                if claim is not None:
                    await self.queue.workers.end_claim(lambda: self.queue.jobs.fail(claim, reason))
                else:
                    await self.orders.close_all(job.id, reason)
            return JobEnd()
        finally:
            if claim is not None:
                await self._release(claim)

    async def _process(self, assignment: Assignment) -> JobEnd:
        job = assignment.job
        orders, candidates = await self._visible(job)
        if not orders:
            return JobEnd()
        forced = assignment.claim is not None and any(order.force for order in orders)
        report = BatchReport()

        def emit(event: Event) -> None:
            report(event)
            self.emit(event)

        try:
            run = await self.new_run(assignment, emit, forced=forced)
        except UsageError as error:
            # Such as a price that a budget needs.
            await fail_ordered(self.queue, self.orders, self.worker, job.id, str(error))
            return JobEnd()
        if self.stopping():
            run.control.stop()
        await run.run(Discovery(candidates))
        if isinstance(report.fatal, UsageError):
            # Such as a model that the endpoint does not have.
            await fail_ordered(self.queue, self.orders, self.worker, job.id, str(report.fatal))
            return JobEnd()
        return await self._end(assignment, orders, report)

    async def _visible(self, job: Job) -> tuple[list[Order], list[Candidate]]:
        """The open orders of a job whose recordings this host sees, unchanged."""
        orders, candidates, unseen = [], [], ""
        index, host = self.new_index(), self.worker.machine
        for order in await self.orders.open(job.id):
            path = location(order.path)
            status: FileStatus
            try:
                job_kind(job.spec.kind).engine(job.spec)
                outputs = outputs_from_json(order.outputs)
                if outputs.directory is not None and is_object(outputs.directory):
                    assert self.fetched is not None
                    await asyncio.to_thread(self.fetched.objects)
                await index.load([path])
                if isinstance(path, ObjectUrl):
                    assert self.fetched is not None
                    status = facts = await self.fetched.facts(path)
                    file = await self.fetched.fingerprint(index, facts, self.stopping)
                else:
                    status = await asyncio.to_thread(path.stat)
                    file = await index.fingerprint(path, self.stopping)
            except UsageError as error:
                unseen = f"not understood by {host}: {error}"
            except (OSError, RecordingError) as error:
                unseen = f"not seen from {host}: {getattr(error, 'strerror', None) or error}"
            else:
                if file.sha256 == job.file_sha256:
                    orders.append(order)
                    candidates.append(Candidate(order.path, order.root, True, status, outputs))
                else:
                    unseen = f"other content on {host}"
        if unseen:
            await self.orders.note_unseen(job.id, self.worker.host, unseen)
            self.emit(Warned(job.spec.title, f"{unseen}; it is left for other workers"))
        return orders, candidates

    async def _end(
        self, assignment: Assignment, orders: Sequence[Order], report: BatchReport
    ) -> JobEnd:
        """Close the orders that are fulfilled, or that nobody is going to fulfil."""
        job = assignment.job
        if assignment.claim is not None:
            await self._end_unread(assignment.claim, report)
        row = (await self.queue.jobs.jobs([job.id])).get(job.id)
        was_hindered = report.fatal is not None or (
            # PROCESSING: another worker has taken it since it was released.
            row is not None and row.status in {JobStatus.QUEUED, JobStatus.PROCESSING}
        )
        ended: defaultdict[str, deque[RecordingReport]] = defaultdict(deque)
        for each in report.recordings:
            ended[each.display_path].append(each)
        ends = []
        for order in orders:
            if not (reports := ended[order.path]):
                continue
            end = reports.popleft()
            written = next(iter(end.outputs), None)
            if end.outcome is Outcome.DONE:
                ends.append(OrderEnd(order.id, job.id, None, written))
            elif end.outcome is Outcome.FAILED and not was_hindered:
                ends.append(OrderEnd(order.id, job.id, end.reason, written))
        await self.orders.close(ends)
        return JobEnd(again=len(ends) < len(orders), error=report.fatal)

    async def _end_unread(self, claim: Claim, report: BatchReport) -> None:
        """Fail a job whose recording could not be read, which the run had no claim on."""
        failed = [each for each in report.recordings if each.outcome is Outcome.FAILED]
        if failed and report.fatal is None:
            # A void claim, as every one that the run has ended, changes nothing.
            await self.queue.jobs.fail(claim, failed[0].reason)

    async def _release(self, claim: Claim) -> None:
        """Queue the job again unless it has ended."""
        with contextlib.suppress(StateError):
            await self.queue.workers.end_claim(lambda: self.queue.jobs.release(claim))

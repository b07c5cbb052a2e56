"""Claims of work items, which no dead worker holds up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sttbatch.core.ports import WorkLedger
from sttbatch.core.work import HeldBy, Verdict, WorkItem
from sttbatch.queue.polling import Pace
from sttbatch.queue.worker import WorkerRegistry


@dataclass(frozen=True, slots=True)
class WorkClaims:
    """The claims of one worker, beside those of all others."""

    ledger: WorkLedger
    workers: WorkerRegistry

    async def claim(self, item: WorkItem, task_id: int, *, force: bool = False) -> Verdict:
        """As `WorkLedger.claim`; whoever holds the item is alive.

        What a dead worker reserved for it stays spent, as a request that was possibly billed.
        """
        while True:
            verdict = await self.ledger.claim(item, task_id, force=force)
            if not isinstance(verdict, HeldBy) or await self._is_alive(verdict.worker_id):
                return verdict
            await self.workers.reap(verdict.worker_id)

    async def wait_until_ended(
        self, key: str, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """Return once no living worker has claimed the item, or `stopping` says so."""
        pace = Pace()
        while not stopping():
            holder = await self.ledger.holder(key)
            if holder is None or not await self._is_alive(holder):
                return
            await pace.pause()

    async def _is_alive(self, worker_id: str) -> bool:
        return worker_id in await self.workers.living([worker_id])

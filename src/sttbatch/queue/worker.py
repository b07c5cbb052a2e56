"""WorkerRegistry: the processes that share a ledger, and which of them are alive."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field

from sttbatch.core.errors import StateError
from sttbatch.core.jobs import Worker
from sttbatch.core.ports import Liveness, WorkerStore

HEARTBEAT_S = 60.0


@dataclass(frozen=True, slots=True)
class WorkerRegistry:
    """All workers of one ledger.

    Args:
        heartbeat_s: seconds between two heartbeats of a worker.
    """

    store: WorkerStore
    liveness: Liveness
    heartbeat_s: float = HEARTBEAT_S
    _unended: list[Callable[[], Awaitable[object]]] = field(default_factory=list, init=False)

    @contextlib.asynccontextmanager
    async def registered(self) -> AsyncIterator[Worker]:
        """This process as a worker; what it still holds at the end is free again.

        Raises:
            StateError: others could not be told that it is alive.
        """
        pid = os.getpid()
        worker_id = f"{pid}-{secrets.token_hex(6)}"
        with contextlib.ExitStack() as held:
            held.enter_context(self.liveness.hold(worker_id))
            worker = await self.store.register(worker_id, self.liveness.host, pid)
            await self.sweep()
            beating = asyncio.create_task(self._beat(worker, held))
            try:
                yield worker
            finally:
                beating.cancel()
                # Where that cannot be written, whoever comes next finds it dead.
                with contextlib.suppress(StateError):
                    await self.store.reap(worker_id, killed=False)

    async def end_claim(self, end: Callable[[], Awaitable[object]]) -> None:
        """End a claim of this worker; where that cannot be written, `end_pending_claims` does it.

        Raises:
            StateError: it could not be written now.
        """
        try:
            await end()
        except StateError:
            self._unended.append(end)
            raise

    async def end_pending_claims(self) -> None:
        """End the claims whose end could not be written: nobody else may while this worker lives.

        Raises:
            StateError: it cannot be written yet.
        """
        while self._unended:
            await self._unended[0]()
            del self._unended[0]

    async def sweep(self) -> None:
        """Free what dead workers held, and remove what they left behind."""
        rows = await self.store.list()
        for worker in rows:
            if not self.liveness.is_alive(worker.id, worker):
                await self.reap(worker.id)
        self.liveness.sweep([worker.id for worker in rows])

    async def living(self, worker_ids: Collection[str]) -> dict[str, Worker]:
        """Those of these workers that are alive, by id."""
        rows = await self.store.find(worker_ids)
        return {row.id: row for row in rows.values() if self.liveness.is_alive(row.id, row)}

    async def is_alive(self, worker_id: str) -> bool:
        rows = await self.store.find([worker_id])
        return self.liveness.is_alive(worker_id, rows.get(worker_id))

    async def reap_if_dead(self, worker_id: str) -> bool:
        """Free what a worker held unless it is alive; False: it is."""
        if await self.is_alive(worker_id):
            return False
        await self.reap(worker_id)
        return True

    async def reap(self, worker_id: str) -> None:
        """Free what a dead worker held, and remove what it left behind."""
        await self.store.reap(worker_id, killed=True)
        self.liveness.forget(worker_id)

    async def _beat(self, worker: Worker, held: contextlib.ExitStack) -> None:
        while True:
            await asyncio.sleep(self.heartbeat_s)
            # A ledger that cannot be written ends the run through what the run itself writes.
            with contextlib.suppress(StateError):
                # Where others took it for dead, this registers it again.
                await self.store.heartbeat(worker)
                # Its lock file was removed, so what it claims from now on would be free to others.
                if not self.liveness.is_alive(worker.id, None):
                    held.enter_context(self.liveness.hold(worker.id))

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


@dataclass(slots=True, eq=False)
class WorkerRegistry:
    """All workers of one ledger; a heartbeat follows the last one after `heartbeat_s` seconds."""

    store: WorkerStore
    liveness: Liveness
    heartbeat_s: float = HEARTBEAT_S
    _pending_ends: list[Callable[[], Awaitable[object]]] = field(default_factory=list, init=False)

    @contextlib.asynccontextmanager
    async def registered(self) -> AsyncIterator[Worker]:
        """Register this process as a worker; at the end everything that it holds is freed.

        Raises StateError if other processes cannot be told that it is alive.
        """
        pid = os.getpid()
        worker_id = f"{pid}-{secrets.token_hex(6)}"
        with contextlib.ExitStack() as held:
            held.enter_context(self.liveness.hold(worker_id))
            worker = await self.store.register(worker_id, self.liveness.host, pid)
            await self.sweep()
            heartbeats = asyncio.create_task(self._send_heartbeats(worker, held))
            try:
                yield worker
            finally:
                heartbeats.cancel()
                # If this cannot be written, the next run reaps this worker.
                with contextlib.suppress(StateError):
                    await self.store.reap(worker_id, killed=False)

    async def end_claim(self, end: Callable[[], Awaitable[object]]) -> None:
        """End a claim of this worker; if it raises StateError, `end_pending_claims` tries again."""
        try:
            await end()
        except StateError:
            self._pending_ends.append(end)
            raise

    async def end_pending_claims(self) -> None:
        """End the claims whose end could not be written, which no other worker may do.

        Raises StateError if it still cannot be written.
        """
        while self._pending_ends:
            await self._pending_ends[0]()
            del self._pending_ends[0]

    async def sweep(self) -> None:
        """Free what dead workers held, and remove their files."""
        rows = await self.store.list()
        for worker in rows:
            if not self.liveness.is_alive(worker.id, worker):
                await self.reap(worker.id)
        self.liveness.sweep([worker.id for worker in rows])

    async def living(self, worker_ids: Collection[str]) -> dict[str, Worker]:
        """The living ones of these workers, by id."""
        rows = await self.store.find(worker_ids)
        return {row.id: row for row in rows.values() if self.liveness.is_alive(row.id, row)}

    async def is_alive(self, worker_id: str) -> bool:
        rows = await self.store.find([worker_id])
        return self.liveness.is_alive(worker_id, rows.get(worker_id))

    async def reap_if_dead(self, worker_id: str) -> bool:
        """Reap a worker unless it is alive; returns whether it was reaped."""
        if await self.is_alive(worker_id):
            return False
        await self.reap(worker_id)
        return True

    async def reap(self, worker_id: str) -> None:
        """Free what a dead worker held, and remove its files."""
        await self.store.reap(worker_id, killed=True)
        self.liveness.forget(worker_id)

    async def _send_heartbeats(self, worker: Worker, held: contextlib.ExitStack) -> None:
        while True:
            await asyncio.sleep(self.heartbeat_s)
            # The run itself notices when the ledger cannot be written.
            with contextlib.suppress(StateError):
                # This also registers it again if it was reaped by mistake.
                await self.store.heartbeat(worker)
                # Without its lock file, others would take what it claims from now on.
                if not self.liveness.is_alive(worker.id, None):
                    held.enter_context(self.liveness.hold(worker.id))

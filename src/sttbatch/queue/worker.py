"""WorkerRegistry: the processes that share a ledger, and which of them are alive."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field

from sttbatch.core.errors import StateError, WorkerReaped
from sttbatch.core.jobs import Worker, WorkerLoad
from sttbatch.core.ports import Liveness, WorkerStore

LOOK_S = 1.0
"""Seconds until a process that was taken for dead notices it."""

# The monotonic clock stands still while the machine sleeps, and others' leases do not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def since_boot() -> float:
    """Seconds, of sleep too where the system counts it."""
    return time.clock_gettime(_CLOCK)


@dataclass(slots=True, eq=False)
class WorkerRegistry:
    """All workers of one ledger; `heartbeat_s` replaces that of `liveness`.

    Attributes:
        clock: of this process's lease, in seconds.
        load: of this process; None: it does not work on orders. Called by the thread that sends
            heartbeats.
    """

    store: WorkerStore
    liveness: Liveness
    heartbeat_s: float | None = None
    clock: Callable[[], float] = since_boot
    load: Callable[[], WorkerLoad | None] | None = None
    _pending_ends: list[Callable[[], Awaitable[object]]] = field(default_factory=list, init=False)

    @contextlib.asynccontextmanager
    async def registered(
        self, lost: Callable[[StateError], None] = lambda _: None
    ) -> AsyncIterator[Worker]:
        """Register this process as a worker; at the end everything that it holds is freed.

        `lost` is called each second in which it must send nothing, since others may take it for
        dead.

        Raises StateError if other processes cannot be told that it is alive.
        """
        pid = os.getpid()
        worker_id = f"{pid}-{secrets.token_hex(6)}"
        with contextlib.ExitStack() as held:
            held.enter_context(self.liveness.hold(worker_id))
            worker = await self.store.register(worker_id, self.liveness.host, pid)
            lease = _Lease(self.liveness.lease_s, self.clock, self.clock())
            await self.sweep()
            ended = threading.Event()
            # In a thread, so that a loop that is busy for long looks alive.
            beating = threading.Thread(
                target=self._send_heartbeats, args=(worker, held, lease, ended), daemon=True
            )
            beating.start()
            watching = asyncio.create_task(lease.watch(lost))
            try:
                yield worker
            finally:
                ended.set()
                watching.cancel()
                # A last heartbeat after its end would register it again.
                await asyncio.to_thread(beating.join)
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

    async def of_routes(self, routes: Collection[str]) -> list[Worker]:
        """The living workers that take jobs of these routes."""
        return [each for each in await self.all_living() if each.load.route in routes]

    async def all_living(self) -> list[Worker]:
        rows = await self.store.list()
        return [row for row in rows if self.liveness.is_alive(row.id, row)]

    async def is_alive(self, worker_id: str) -> bool:
        rows = await self.store.find([worker_id])
        return self.liveness.is_alive(worker_id, rows.get(worker_id))

    async def revive(self, worker: Worker) -> None:
        """Register a worker of this process again, which was reaped though its lock is held.

        Raises WorkerReaped where heartbeats alone decide: others do its work by now.
        """
        if self.liveness.lease_s < math.inf:
            raise WorkerReaped
        await self.store.heartbeat(worker)

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

    def _send_heartbeats(
        self, worker: Worker, held: contextlib.ExitStack, lease: _Lease, ended: threading.Event
    ) -> None:
        pause_s = self.liveness.heartbeat_s if self.heartbeat_s is None else self.heartbeat_s
        while not ended.wait(pause_s):
            begun_at = self.clock()
            # The run itself notices when the ledger cannot be written.
            with contextlib.suppress(StateError):
                # This also registers it again if it was reaped by mistake.
                if asyncio.run(self._beat(worker)):
                    lease.renewed_at = begun_at
                else:
                    lease.is_void = self.liveness.lease_s < math.inf
                # Without its lock file, others would take what it claims from now on.
                if not self.liveness.is_alive(worker.id, worker):
                    held.enter_context(self.liveness.hold(worker.id))

    async def _beat(self, worker: Worker) -> bool:
        return await self.store.heartbeat(worker, self.load() if self.load is not None else None)


@dataclass(slots=True, eq=False)
class _Lease:
    """A worker's right to send, for `length_s` seconds after each heartbeat.

    Attributes:
        is_void: it was reaped.
    """

    length_s: float
    clock: Callable[[], float]
    renewed_at: float
    is_void: bool = False

    @property
    def rest_s(self) -> float:
        return 0.0 if self.is_void else self.renewed_at + self.length_s - self.clock()

    async def watch(self, lost: Callable[[StateError], None]) -> None:
        """Call `lost` when it ends, and again while it is over: a run may begin after that."""
        while True:
            rest_s = self.rest_s
            if rest_s <= 0:
                silence = (
                    f"this process could not tell the ledger for {self.length_s:.0f} s that it is "
                    "alive: it sends nothing more; run it again to continue"
                )
                lost(WorkerReaped() if self.is_void else StateError(silence))
            await asyncio.sleep(min(rest_s, LOOK_S) if rest_s > 0 else LOOK_S)

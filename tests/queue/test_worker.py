"""Who lives and who does not, told by locks on this machine and by age from others."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sttbatch.core.errors import StateError, WorkerReaped
from sttbatch.core.jobs import Claim, JobStatus, TakenBy, Worker, WorkerLoad
from sttbatch.core.work import Granted, HeldBy, Void
from sttbatch.database.database import Database
from sttbatch.database.workers import LedgerWorkers
from sttbatch.queue.liveness import (
    EXPIRY_S,
    UNSEEN_EXPIRY_S,
    FileLocks,
    Heartbeats,
    hold,
    is_held,
    remove_if_abandoned,
    shares_locks,
)
from sttbatch.queue.worker import WorkerRegistry
from tests.queue.harness import (
    Clock,
    CompetingProcess,
    Harness,
    Ledger,
    contenders,
    in_harness,
    opened,
)

HERE = "here boot-1"


def test_a_killed_workers_job_is_claimable_at_once_and_a_living_ones_never(ledger: Ledger) -> None:
    job = in_harness(ledger, lambda harness: harness.queued())
    with contenders(1, "hold", ledger, job.id, "chunk:1") as (holder,):
        assert holder.line() == "held"

        async def contend(harness: Harness) -> None:
            # However old it is: on one machine age says nothing.
            harness.clock.now += 1e6
            for _ in range(50):
                assert isinstance(await harness.queue.claim(job.id, harness.worker), TakenBy)
            await harness.workers.sweep()
            assert (await harness.reread(job)).status is JobStatus.PROCESSING
            holder.kill()
            claim = await harness.queue.claim(job.id, harness.worker)
            assert isinstance(claim, Claim)
            assert claim.number == 2
            attempts = await harness.jobs.attempts(job.id)
            assert [each.status for each in attempts] == ["RELEASED", "PROCESSING"]

        in_harness(ledger, contend)
    assert ledger.rows("SELECT * FROM workers") == []
    assert list((ledger.folder / "locks").iterdir()) == []


def test_whoever_comes_next_sweeps_up_after_the_dead(ledger: Ledger) -> None:
    job = in_harness(ledger, lambda harness: harness.queued())
    holder = CompetingProcess("hold", ledger, job.id, "chunk:1")
    assert holder.line() == "held"
    holder.kill()
    (ledger.folder / "locks" / "no-row.lock").touch()

    async def look(harness: Harness) -> None:
        assert (await harness.reread(job)).status is JobStatus.QUEUED
        assert ledger.rows("SELECT id FROM workers") == [(harness.worker.id,)]
        (lock,) = (ledger.folder / "locks").iterdir()
        assert lock.stem == harness.worker.id

    in_harness(ledger, look)


def test_a_worker_that_leaves_frees_what_it_held(ledger: Ledger) -> None:
    async def leave(harness: Harness) -> str:
        job = await harness.queued()
        claim = await harness.claimed(job)
        await harness.claim("chunk:1", claim)
        return job.id

    job_id = in_harness(ledger, leave)
    assert ledger.rows("SELECT id, status FROM processing_jobs") == [(job_id, "QUEUED")]
    ((status, cost, maybe_paid, error),) = ledger.rows(
        "SELECT status, cost, maybe_paid, error FROM requests"
    )
    assert (status, cost, maybe_paid) == (None, 1.0, 1)
    assert "ended before the answer came" in str(error)


def test_a_worker_elsewhere_lives_until_its_heartbeat_is_old(ledger: Ledger) -> None:
    async def work() -> None:
        clock = Clock()
        async with opened(ledger, clock=clock, machine="there boot-2") as there:
            job = await there.queued()
            claim = await there.claimed(job)
            lock = ledger.folder / "locks" / f"{there.worker.id}.lock"
            # A file system that does not show the locks of other machines.
            with lock.open("r+b") as unseen:
                lock.rename(lock.with_suffix(".hidden"))
                lock.write_bytes(unseen.read())
            async with opened(ledger, clock=clock, machine=HERE) as here:
                clock.now += UNSEEN_EXPIRY_S - 1
                taken = await here.queue.claim(job.id, here.worker)
                assert taken == TakenBy(there.worker.id)
                assert await LedgerWorkers(there.database).heartbeat(there.worker)
                clock.now += UNSEEN_EXPIRY_S - 1
                assert await here.queue.claim(job.id, here.worker) == taken
                clock.now += 1
                late = await here.queue.claim(job.id, here.worker)
                assert isinstance(late, Claim)
                # It was asleep: its work is lost to it, and its lock file still there for others.
                assert not await there.jobs.complete(claim)
                assert lock.exists()
                await there.queue.claim(job.id, there.worker)
                alive = await here.workers.living([there.worker.id])
                assert alive == {there.worker.id: there.worker}

    asyncio.run(work())


def test_a_heart_beats_while_the_worker_does_something_else(ledger: Ledger) -> None:
    async def work() -> None:
        clock = Clock()
        with contextlib.closing(ledger.open(clock)) as database:
            store, locks = LedgerWorkers(database), FileLocks(ledger.folder)
            workers = WorkerRegistry(store, locks, heartbeat_s=0.02)
            async with workers.registered():
                clock.now += 60
                beat: list[tuple[object, ...]] = []
                while beat != [(clock.now,)]:
                    await asyncio.sleep(0.02)
                    beat = ledger.rows("SELECT heartbeat_at FROM workers")

    asyncio.run(work())


class GatedWorkers(LedgerWorkers):
    """Their heartbeats wait for `gate`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.gate = threading.Event()

    async def heartbeat(self, worker: Worker, load: WorkerLoad | None = None) -> bool:
        self.gate.wait()
        return await super().heartbeat(worker, load)


def test_a_heart_beats_while_the_loop_is_busy(ledger: Ledger) -> None:
    async def work() -> None:
        clock = Clock()
        with contextlib.closing(ledger.open(clock)) as database:
            workers = WorkerRegistry(LedgerWorkers(database), Heartbeats(), heartbeat_s=0.02)
            async with workers.registered():
                clock.now += 60
                # Nothing else runs in this loop meanwhile.
                while ledger.rows("SELECT heartbeat_at FROM workers") != [(clock.now,)]:
                    pass

    asyncio.run(work())


@pytest.mark.parametrize("is_reaped", [True, False])
def test_a_lease_is_lost_with_the_worker_or_with_its_heartbeats(
    ledger: Ledger, *, is_reaped: bool
) -> None:
    async def work() -> None:
        with contextlib.closing(ledger.open(Clock())) as database:
            store, liveness = GatedWorkers(database), Heartbeats()
            liveness.lease_s = 60.0 if is_reaped else 0.1
            lost: asyncio.Queue[StateError] = asyncio.Queue()
            workers = WorkerRegistry(store, liveness, heartbeat_s=0.02)
            async with asyncio.timeout(60), workers.registered(lost.put_nowait) as worker:
                if is_reaped:
                    await store.reap(worker.id, killed=True)
                    store.gate.set()
                reason = str(await lost.get())
                # A run that has begun since ends too.
                assert str(await lost.get()) == reason
                assert ("taken for dead" if is_reaped else "that it is alive") in reason
                store.gate.set()

    asyncio.run(work())


def test_a_lease_ends_while_the_machine_sleeps(ledger: Ledger) -> None:
    async def work() -> None:
        since_boot = Clock()
        with contextlib.closing(ledger.open(Clock())) as database:
            store, lost = GatedWorkers(database), asyncio.Queue[StateError]()
            workers = WorkerRegistry(store, Heartbeats(), clock=since_boot)
            async with asyncio.timeout(60), workers.registered(lost.put_nowait):
                since_boot.now += Heartbeats.lease_s
                assert "that it is alive" in str(await lost.get())
                store.gate.set()

    asyncio.run(work())


SLEPT = """
import time
from sttbatch.queue.worker import since_boot
assert since_boot() - time.monotonic() > 99_000
"""


def test_the_clock_of_leases_counts_sleep() -> None:
    in_namespace = ["unshare", "--time", "--boottime", "100000", "--fork"]
    if not shutil.which("unshare") or subprocess.call([*in_namespace, "true"]) != 0:
        pytest.skip("unshare (Debian: util-linux) cannot set the clock of a process here")
    subprocess.run([*in_namespace, sys.executable, "-c", SLEPT], check=True)


def test_a_worker_that_was_taken_for_dead_gets_no_other_job(ledger: Ledger) -> None:
    """Nor does it hide from its next heartbeat what has happened to it."""

    async def work() -> None:
        async with opened(ledger, liveness=Heartbeats()) as harness:
            job, store = await harness.queued(), LedgerWorkers(harness.database)
            await store.reap(harness.worker.id, killed=True)
            with pytest.raises(WorkerReaped, match="taken for dead"):
                await harness.queue.claim(job.id, harness.worker)
            assert (await harness.reread(job)).status is JobStatus.QUEUED
            assert not await store.heartbeat(harness.worker)

    asyncio.run(work())


def test_a_worker_that_was_taken_for_dead_gets_no_chunk_of_its_job(ledger: Ledger) -> None:
    async def work() -> None:
        async with opened(ledger) as harness:
            claim = await harness.claimed(await harness.queued())
            assert isinstance(await harness.claim("chunk:1", claim), Granted)
            await LedgerWorkers(harness.database).reap(harness.worker.id, killed=True)
            assert await harness.claim("chunk:2", claim) == Void()
            assert not ledger.rows("SELECT * FROM chunk_tasks WHERE chunk_key = 'chunk:2'")

    asyncio.run(work())


def test_heartbeats_alone_decide_between_machines(ledger: Ledger) -> None:
    """Two containers have the machine in common, and no folder of locks."""

    async def work() -> None:
        clock = Clock()
        async with (
            opened(ledger, clock=clock, liveness=Heartbeats()) as one,
            opened(ledger, clock=clock, liveness=Heartbeats()) as other,
        ):
            job = await one.queued()
            await one.claimed(job)
            clock.now += EXPIRY_S - 1
            assert isinstance(await other.queue.claim(job.id, other.worker), TakenBy)
            clock.now += 1
            assert isinstance(await other.queue.claim(job.id, other.worker), Claim)

    asyncio.run(work())


def test_a_worker_that_was_taken_for_dead_is_alive_again_after_its_next_heartbeat(
    ledger: Ledger,
) -> None:
    """Else whoever comes next takes what it claims, and pays for it once more."""

    async def another_run_comes_by() -> None:
        with contextlib.closing(ledger.open(Clock())) as database:
            store = LedgerWorkers(database)
            await WorkerRegistry(store, FileLocks(ledger.folder)).sweep()
            assert await store.list() == []

    async def work() -> None:
        with contextlib.closing(ledger.open(Clock())) as database, ThreadPoolExecutor() as other:
            store, locks = LedgerWorkers(database), FileLocks(ledger.folder)
            gated = GatedWorkers(database)
            workers = WorkerRegistry(gated, FileLocks(ledger.folder), heartbeat_s=0.02)
            async with workers.registered() as worker:
                # Somebody tidied up the folder.
                (ledger.folder / "locks" / f"{worker.id}.lock").unlink()
                other.submit(asyncio.run, another_run_comes_by()).result()
                gated.gate.set()
                async with asyncio.timeout(10):
                    while not locks.is_alive(worker.id, None):  # noqa: ASYNC110 - the kernel tells of no lock
                        await asyncio.sleep(0.02)
                await WorkerRegistry(store, locks).sweep()
                assert await store.list() == [worker]
            assert await store.list() == []
            assert list((ledger.folder / "locks").iterdir()) == []

    asyncio.run(work())


def test_looking_disturbs_neither_the_holder_nor_others_who_look(tmp_path: Path) -> None:
    path = tmp_path / "worker.lock"
    descriptor = hold(path, HERE)
    wrong: list[bool] = []

    def look(expected: bool) -> None:
        wrong.extend(found for _ in range(300) if (found := is_held(path)) is not expected)

    for expected in (True, False):
        lookers = [threading.Thread(target=look, args=(expected,)) for _ in range(4)]
        for looker in lookers:
            looker.start()
        for looker in lookers:
            looker.join()
        if expected:
            os.close(descriptor)
    assert wrong == []


def test_children_do_not_keep_the_lock_of_a_parent_that_died(tmp_path: Path) -> None:
    descriptor = hold(tmp_path / "worker.lock", HERE)
    assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    os.close(descriptor)


def test_a_lock_file_is_removed_here_only_and_only_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "worker.lock"
    descriptor = hold(path, HERE)
    remove_if_abandoned(path, HERE)
    assert path.exists()
    os.close(descriptor)
    remove_if_abandoned(path, "there boot-2")
    assert path.exists()
    remove_if_abandoned(path, HERE)
    assert not path.exists()
    remove_if_abandoned(path, HERE)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("here boot-1 8:12", True),
        ("here boot-1", True),  # as sttbatch 0.1 wrote it
        ("here boot-0 9:12", True),  # it was restarted, and its devices are numbered anew
        ("here boot-0 8:13", False),  # another folder, before or on a machine of the same name
        ("container boot-1 8:12", True),  # one kernel, one set of locks
        ("container boot-1 8:13", False),  # one kernel, two folders
        ("container boot-1 9:12", False),
        ("container boot-1", True),
        ("there boot-2 8:12", False),
        ("there  8:12", False),
        ("there ", False),
    ],
)
def test_which_hosts_see_each_others_locks(other: str, same: bool) -> None:
    here = f"{HERE} 8:12"
    assert shares_locks(here, other) is shares_locks(other, here) is same
    assert not shares_locks(here, "here2 ")
    assert not shares_locks("here2  8:12", here)


def test_two_data_folders_on_one_machine_leave_each_others_jobs_alone(
    ledger: Ledger, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two containers on one kernel share a ledger and not the folder of their locks."""

    async def work() -> None:
        clock = Clock()
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        async with (
            opened(ledger, clock=clock) as one,
            opened(ledger, clock=clock, data_folder=elsewhere) as other,
        ):
            job = await one.queued()
            claim = await one.claimed(job)
            assert isinstance(await one.claim("chunk:1", claim), Granted)
            taken = await other.queue.claim(job.id, other.worker)
            assert taken == TakenBy(one.worker.id)
            second = await other.claimed(await other.queued("b"))
            held = await other.claim("chunk:1", second)
            assert held == HeldBy(one.worker.id)
            clock.now += UNSEEN_EXPIRY_S
            assert isinstance(await other.queue.claim(job.id, other.worker), Claim)

    asyncio.run(work())


def test_a_worker_that_was_taken_for_dead_is_told_so_by_its_next_heartbeat(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        store = LedgerWorkers(harness.database)
        assert await store.heartbeat(harness.worker)
        claim = await harness.claimed(await harness.queued())
        await store.reap(harness.worker.id, killed=True)
        assert not await store.heartbeat(harness.worker)
        assert await store.heartbeat(harness.worker)
        assert await store.list() == [harness.worker]
        assert not await harness.jobs.complete(claim)

    in_harness(ledger, work)


def test_a_folder_that_takes_no_lock_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"nowhere/worker\.lock cannot be locked"):
        hold(tmp_path / "nowhere" / "worker.lock", HERE)


def test_a_living_worker_without_a_row_keeps_what_it_claims(ledger: Ledger) -> None:
    async def work() -> None:
        async with opened(ledger) as one, opened(ledger) as other:
            job = await one.queued()
            # Another machine, which could not see its lock, took it for dead.
            await LedgerWorkers(one.database).reap(one.worker.id, killed=True)
            claim = await one.claimed(job)
            assert isinstance(await one.claim("chunk:1", claim), Granted)
            assert await other.claim("chunk:1", claim) == HeldBy(one.worker.id)

    asyncio.run(work())

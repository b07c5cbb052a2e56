"""Who lives and who does not, told by locks on this machine and by age from others."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import threading
from pathlib import Path

import pytest

from sttbatch.core.errors import StateError
from sttbatch.database.opening import open_ledger
from sttbatch.queue.attempts import passes_of
from sttbatch.queue.job import Claim, JobStatus, TakenBy
from sttbatch.queue.liveness import hold, is_held, remove_if_left_behind, same_machine
from sttbatch.queue.worker import EXPIRY_S, WorkerRegistry
from tests.queue.harness import Clock, CompetingProcess, Room, contenders, in_room, opened, rows

HERE = "here boot-1"


def test_a_killed_workers_job_is_claimable_at_once_and_a_living_ones_never(tmp_path: Path) -> None:
    job = in_room(tmp_path, lambda room: room.queued())
    with contenders(1, "hold", tmp_path, job.id, "chunk:1") as (holder,):
        assert holder.line() == "held"

        async def contend(room: Room) -> None:
            # However old it is: on one machine age says nothing.
            room.clock.now += 1e6
            for _ in range(50):
                assert isinstance(await room.queue.claim(job.id, room.worker), TakenBy)
            await room.workers.sweep()
            assert (await room.reread(job)).status is JobStatus.PROCESSING
            holder.kill()
            claim = await room.queue.claim(job.id, room.worker)
            assert isinstance(claim, Claim)
            assert claim.number == 2
            passes = await room.database.read(lambda db: passes_of(db, job.id))
            assert [each.status for each in passes] == ["RELEASED", "PROCESSING"]

        in_room(tmp_path, contend)
    assert rows(tmp_path, "SELECT * FROM workers") == []
    assert list((tmp_path / "locks").iterdir()) == []


def test_whoever_comes_next_sweeps_up_after_the_dead(tmp_path: Path) -> None:
    job = in_room(tmp_path, lambda room: room.queued())
    holder = CompetingProcess("hold", tmp_path, job.id, "chunk:1")
    assert holder.line() == "held"
    holder.kill()
    (tmp_path / "locks" / "no-row.lock").touch()

    async def look(room: Room) -> None:
        assert (await room.reread(job)).status is JobStatus.QUEUED
        assert rows(tmp_path, "SELECT id FROM workers") == [(room.worker.id,)]
        (lock,) = (tmp_path / "locks").iterdir()
        assert lock.stem == room.worker.id

    in_room(tmp_path, look)


def test_a_worker_that_leaves_frees_what_it_held(tmp_path: Path) -> None:
    async def leave(room: Room) -> str:
        job = await room.queued()
        claim = await room.claimed(job)
        await room.claim("chunk:1", claim)
        return job.id

    job_id = in_room(tmp_path, leave)
    assert rows(tmp_path, "SELECT id, status FROM processing_jobs") == [(job_id, "QUEUED")]
    ((status, cost, maybe_paid, error),) = rows(
        tmp_path, "SELECT status, cost, maybe_paid, error FROM requests"
    )
    assert (status, cost, maybe_paid) == (None, 1.0, 1)
    assert "ended before the answer came" in str(error)


def test_a_worker_elsewhere_lives_until_its_heartbeat_is_old(tmp_path: Path) -> None:
    async def work() -> None:
        clock = Clock()
        async with opened(tmp_path, clock=clock, machine="there boot-2") as there:
            job = await there.queued()
            claim = await there.claimed(job)
            lock = tmp_path / "locks" / f"{there.worker.id}.lock"
            # A file system that does not show the locks of other machines.
            with lock.open("r+b") as unseen:
                lock.rename(lock.with_suffix(".hidden"))
                lock.write_bytes(unseen.read())
            async with opened(tmp_path, clock=clock, machine=HERE) as here:
                clock.now += EXPIRY_S - 1
                taken = await here.queue.claim(job.id, here.worker)
                assert taken == TakenBy(there.worker.id)
                await there.database.write(lambda db: there.workers.touch(db, there.worker))
                clock.now += EXPIRY_S - 1
                assert await here.queue.claim(job.id, here.worker) == taken
                clock.now += 1
                late = await here.queue.claim(job.id, here.worker)
                assert isinstance(late, Claim)
                # It was asleep: its work is lost to it, and its lock file still there for others.
                assert not await there.queue.complete(claim)
                assert lock.exists()
                await there.queue.claim(job.id, there.worker)
                alive = await here.workers.living([there.worker.id])
                assert alive == {there.worker.id: there.worker}

    asyncio.run(work())


def test_a_heart_beats_while_the_worker_does_something_else(tmp_path: Path) -> None:
    async def work() -> None:
        clock = Clock()
        with contextlib.closing(open_ledger(tmp_path)) as database:
            workers = WorkerRegistry(database, tmp_path, clock=clock, heartbeat_s=0.02)
            async with workers.registered():
                clock.now += 60
                beat: list[tuple[object, ...]] = []
                while beat != [(clock.now,)]:
                    await asyncio.sleep(0.02)
                    beat = rows(tmp_path, "SELECT heartbeat_at FROM workers")

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
    remove_if_left_behind(path, HERE)
    assert path.exists()
    os.close(descriptor)
    remove_if_left_behind(path, "there boot-2")
    assert path.exists()
    remove_if_left_behind(path, HERE)
    assert not path.exists()
    remove_if_left_behind(path, HERE)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("here boot-1", True),
        ("here boot-0", True),  # it was restarted
        ("container boot-1", True),  # one kernel, one set of locks
        ("there boot-2", False),
        ("there ", False),
    ],
)
def test_what_is_one_machine(other: str, same: bool) -> None:
    assert same_machine(HERE, other) is same
    assert not same_machine("here2 ", other)


def test_a_folder_that_takes_no_lock_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"nowhere/worker\.lock cannot be locked"):
        hold(tmp_path / "nowhere" / "worker.lock", HERE)

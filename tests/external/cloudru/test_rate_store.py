"""One rate limit for all processes, through a file that may be damaged, locked or gone."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from sttbatch.core.ports import RateStore
from sttbatch.core.ports.rates import RateState
from sttbatch.database.rates import RETRY_AFTER_S, SqliteRates
from sttbatch.external.cloudru.admission import RateLimiter
from sttbatch.external.cloudru.rate_limit import RateLimits
from tests.cloudru import CloudRu, Status
from tests.database.backends import RATES

from .lanes import lanes_to, upload

PER_MINUTE = 600
BURST = 12
EACH = 20
NOW = 50_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "rate.db"


@contextlib.contextmanager
def askers(count: int, *arguments: object) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that have said that they are ready."""
    command = [sys.executable, "-m", "tests.external.cloudru.slot_taker", *map(str, arguments)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        for each in running:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        yield running
    finally:
        for each in running:
            each.kill()
            each.communicate()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def take(store: SqliteRates, per_minute: int = 60) -> float:
    """A slot, relative to a now that stands still."""
    limits = RateLimits(per_minute)
    return store.change_now(lambda state, _: limits.take_slot(state, NOW, 1.0)) - NOW


@pytest.fixture(params=RATES)
def store_at(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[float], RateStore]:
    """Every kind of store, with a clock that stands still."""
    if request.param == "postgresql":
        request.getfixturevalue("postgresql_server")
    return lambda now: RATES[request.param](tmp_path / "data", lambda: now)


def test_a_store_gives_the_time_and_keeps_the_state(
    store_at: Callable[[float], RateStore],
) -> None:
    async def changes() -> tuple[float, float, list[tuple[float, float]]]:
        store = store_at(NOW)
        seen = await store.change(lambda _, now: now)

        def book(state: RateState, now: float) -> None:
            state.next_at = now + 7
            state.sends.append((now, 1.5))

        await store.change(book)
        next_at, sends = await store.change(lambda state, _: (state.next_at, [*state.sends]))
        await store.aclose()
        return seen, next_at, [(at, audio_s) for at, audio_s in sends]

    assert asyncio.run(changes()) == (NOW, NOW + 7, [(NOW, 1.5)])


def test_changes_of_a_store_follow_one_another(store_at: Callable[[float], RateStore]) -> None:
    async def slots() -> list[float]:
        store, limits = store_at(NOW), RateLimits(60)
        taken = await asyncio.gather(
            *(store.change(lambda state, now: limits.take_slot(state, now, 1.0)) for _ in range(9))
        )
        await store.aclose()
        return sorted(taken)

    spacing_s = RateLimits(60).spacing_s
    assert asyncio.run(slots()) == pytest.approx([NOW + n * spacing_s for n in range(9)])


def test_a_change_that_fails_changes_nothing(store_at: Callable[[float], RateStore]) -> None:
    def fail(state: RateState, now: float) -> None:
        raise RuntimeError("a bug")

    async def failing() -> float:
        store = store_at(NOW)
        await store.change(lambda state, now: setattr(state, "next_at", now))
        with pytest.raises(RuntimeError, match="a bug"):
            await store.change(fail)
        next_at = await store.change(lambda state, _: state.next_at)
        await store.aclose()
        return next_at

    assert asyncio.run(failing()) == NOW


def test_two_processes_share_one_limit(path: Path) -> None:
    """Slots of both follow each other at one spacing, whoever came first."""
    with askers(2, "ask", path, PER_MINUTE, EACH) as running:
        for each in running:
            go(each)
        lines = [each.communicate()[0].split() for each in running]
    slots = sorted((float(line), who) for who in (0, 1) for line in lines[who])
    assert len(slots) == 2 * EACH
    spacing_s = RateLimits(PER_MINUTE).spacing_s
    for (before, _), (after, _) in zip(slots, slots[BURST:], strict=False):
        assert after - before >= spacing_s - 1e-6


def test_a_429_in_one_process_slows_the_other(path: Path) -> None:
    """Also one that holds a slot by then: it looks again when its time has come."""

    async def other() -> tuple[float, float, float]:
        store = SqliteRates(path, "here")
        limits = RateLimits(60)
        for _ in range(2):
            slot = await store.change(lambda state, now: limits.take_slot(state, now, 1.0))
        with askers(1, "slow", path, 50) as (slow,):
            go(slow)
            assert slow.stdout is not None
            assert await asyncio.to_thread(slow.stdout.readline) == "slowed\n"
        not_before = await store.change(lambda state, _: state.not_before)
        next_ = await store.change(lambda state, now: limits.take_slot(state, now, 1.0))
        await store.aclose()
        return slot, not_before, next_

    slot, not_before, next_ = asyncio.run(other())
    assert slot < not_before <= next_


def test_engines_of_two_processes_heed_one_429(endpoint: CloudRu, path: Path) -> None:
    endpoint.faults = lambda post: (
        Status(429, headers={"Retry-After": "2"}) if post.number == 2 else None
    )

    async def sending() -> float:
        stores = [SqliteRates(path, "here") for _ in range(2)]
        async with (
            lanes_to(endpoint, store=stores[0]) as ours,
            lanes_to(endpoint, store=stores[1]) as others,
        ):
            await ours.send(0)
            await others.send(1)
            refused = asyncio.ensure_future(ours.send(2))
            while await stores[1].change(lambda state, _: state.not_before) == 0.0:  # noqa: ASYNC110 - written by a file's other user
                await asyncio.sleep(0.01)
            await others.send(3, upload(3))
            await refused
            return others.posts[3][0].rate_wait_s

    rate_wait_s = asyncio.run(sending())
    assert rate_wait_s > 0
    refused, *later = endpoint.received[2:]
    assert refused.answered_at_s is not None
    assert [post.status for post in endpoint.received] == [200, 200, 429, 200, 200]
    assert all(post.arrived_at_s >= refused.answered_at_s + 2 for post in later)


def test_the_file_is_private(path: Path) -> None:
    store = SqliteRates(path, "here")
    take(store)
    store._disconnect()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_endpoints_and_boots_have_limits_of_their_own(path: Path) -> None:
    here, there, later = (SqliteRates(path, name) for name in ("here", "there", "here"))
    later._row = ("here", "another boot")
    for store in (here, there, later):
        assert take(store) == 0.0
        assert take(store) > 0.5
        store._disconnect()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"no database at all" * 100),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 4096),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
    ids=["garbage", "a broken page", "empty", "gone"],
)
@pytest.mark.parametrize("is_open", [True, False], ids=["in use", "before"])
def test_a_damaged_file_is_made_anew(path: Path, damage: object, is_open: bool) -> None:
    """And the other process, which had the old one open, is found at the new one."""
    assert callable(damage)
    warnings: list[str] = []
    stores = [SqliteRates(path, "here", warnings.append) for _ in range(2)]
    for store in stores:
        take(store)
        if not is_open:
            store._disconnect()
    damage(path)
    waits = [take(stores[n % 2]) for n in range(4)]
    assert warnings == []
    assert waits == sorted(waits)
    assert waits[3] > waits[2] > waits[1] > 0.5
    for store in stores:
        store._disconnect()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_state_is_forgotten(path: Path) -> None:
    store = SqliteRates(path, "here")
    take(store)
    for state in (b"{", b'{"next_at": "soon"}', b"\xff", "text", None):
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE rates SET state = ?", (state,))
        assert take(store) == 0.0
    store._disconnect()


def test_a_file_that_stays_locked_is_done_without(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one warning, and with what was known of it."""
    monkeypatch.setattr("sttbatch.database.rates.LOCK_TIMEOUT_S", 0.02)
    warnings: list[str] = []

    async def asking() -> list[float]:
        store = SqliteRates(path, "here", warnings.append)
        limits = RateLimits(60)
        slots = []
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as hanging:
            for number in range(4):
                if number == 1:
                    hanging.execute("BEGIN EXCLUSIVE")
                slots.append(await store.change(lambda state, _: limits.take_slot(state, NOW, 1.0)))
        await store.aclose()
        return slots

    path.parent.mkdir()
    slots = asyncio.run(asking())
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    steps = [after - before for before, after in pairwise(slots)]
    assert steps == pytest.approx([RateLimits(60).spacing_s] * 3, abs=1e-6)


def test_a_file_that_can_be_used_again_is_shared_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent without it counts for all, and the next incident is a warning of its own."""
    monkeypatch.setattr("sttbatch.database.rates.LOCK_TIMEOUT_S", 0.02)
    warnings: list[str] = []
    now, limits = NOW, RateLimits(60)
    steps = (
        (0.0, ""),
        (0.0, "BEGIN EXCLUSIVE"),
        (RETRY_AFTER_S, ""),
        (RETRY_AFTER_S - 1, "COMMIT"),
        (1.0, ""),
        (0.0, "BEGIN EXCLUSIVE"),
        (RETRY_AFTER_S, "COMMIT"),
    )

    def book(state: RateState, _: float) -> float:
        state.sends.append((NOW + len(state.sends), 1.0))
        return limits.take_slot(state, NOW, 1.0)

    async def asking() -> tuple[list[float], float, int]:
        nonlocal now
        store = SqliteRates(path, "here", warnings.append, clock=lambda: now)
        slots = []
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as another:
            for passed_s, statement in steps:
                now += passed_s
                another.execute(statement)
                slots.append(await store.change(book))
        await store.aclose()
        other = SqliteRates(path, "here", clock=lambda: now)
        next_at, sends = await other.change(lambda state, _: (state.next_at, len(state.sends)))
        await other.aclose()
        return slots, next_at, sends

    path.parent.mkdir()
    slots, next_at, sends = asyncio.run(asking())
    assert len(warnings) == 2
    spacings = [after - before for before, after in pairwise([*slots, next_at])]
    assert spacings == pytest.approx([limits.spacing_s] * len(steps), abs=1e-6)
    assert sends == len(steps)


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    warnings: list[str] = []
    (tmp_path / "file").write_text("")

    async def asking() -> list[bool]:
        limiter = RateLimiter(RateLimits(6000), SqliteRates(tmp_path / "file" / "rate.db", "here",
                                                            warnings.append))  # fmt: skip
        passed = [await limiter.wait() for _ in range(3)]
        await limiter.aclose()
        return passed

    assert asyncio.run(asking()) == [True] * 3
    assert len(warnings) == 1

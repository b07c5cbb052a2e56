"""What jobs are asked to do is sealed at rest, over every database."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sttbatch.core.errors import StateError, UsageError
from sttbatch.core.jobs import Claim, Job, JobSpec, JobStatus
from sttbatch.core.metrics import Window
from sttbatch.core.orders import Order, OrderEnd
from sttbatch.database.database import Database
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.orders import SqlOrders
from sttbatch.database.payload_seal import PLAIN, PayloadSeal
from sttbatch.database.sealing import KEYS, Resealed, reseal
from sttbatch.database.usage_queries import UsageFigures
from sttbatch.database.workers import LedgerWorkers
from tests.database.backends import Backend

NOW = 1_700_000_000.0
OLD, NEW = (base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2))
VALUES = (
    "SELECT payload FROM processing_jobs",
    "SELECT path FROM orders",
    "SELECT root FROM orders",
    "SELECT outputs FROM orders",
    "SELECT written FROM orders WHERE written IS NOT NULL",
)


class Opened:
    """A ledger that is open with some keys, and what a run does there."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.jobs, self.orders = LedgerJobs(database), SqlOrders(database)

    async def ordered(self, name: str) -> tuple[Job, Order]:
        spec = JobSpec("transcription", 2, {"recording": f"{name}.mp3", "audio_s": 60.0})
        job = await self.jobs.enqueue(f"content of {name}", 0, "request", spec)
        order = Order.of(job.id, f"/talks/{name}\udcff", "/talks", '{"f": 1}', "r", force=False)
        assert await self.orders.place([order]) == {order.id}
        return job, order

    async def fulfilled(self, name: str) -> None:
        job, order = await self.ordered(name)
        worker = await LedgerWorkers(self.database).register(f"w {name}", "here", 1)
        claim = await self.jobs.claim(job.id, worker)
        assert isinstance(claim, Claim)
        await self.orders.close([OrderEnd(order.id, job.id, written=f"/out/{name}.txt")])
        await self.jobs.complete(claim)

    async def names(self) -> set[str]:
        """What every reader of payloads and orders finds."""
        jobs = await self.jobs.list()
        found = {job.spec.title for job in jobs}
        assert {(await self.jobs.find(job.id)).spec.title for job in jobs} == found
        by_id = await self.jobs.jobs([job.id for job in jobs])
        assert {job.spec.title for job in by_id.values()} == found
        for job in jobs:
            for order in await self.orders.open(job.id):
                assert (order.root, order.outputs) == ("/talks", '{"f": 1}')
                assert order.path == f"/talks/{job.spec.title.removesuffix('.mp3')}\udcff"
        return found

    async def marks(self) -> set[str]:
        """How stored values begin: with the name of their key, or with a brace or a slash."""
        found = set()
        for query in VALUES:
            for (value,) in await self.database.rows(query):
                text = value if isinstance(value, str) else value.decode("utf-8", "replace")
                found.add(text[:24] if text.startswith("fernet:") else text[:1])
        return found


@pytest.fixture
def within(backend: Backend, tmp_path: Path) -> Callable[..., None]:
    """Runs a story in the ledger of the test, opened with keys."""

    def run(story: Callable[[Opened], Awaitable[None]], *keys: str) -> None:
        async def told() -> None:
            seal = PayloadSeal(keys)
            with contextlib.closing(backend.open_ledger(tmp_path, lambda: NOW, seal)) as database:
                await story(Opened(database))

        asyncio.run(told())

    return run


def test_nothing_of_it_is_readable_at_rest(within: Callable[..., None]) -> None:
    async def story(ledger: Opened) -> None:
        await ledger.fulfilled("done")
        await ledger.ordered("open")
        assert await ledger.names() == {"done.mp3", "open.mp3"}
        assert await ledger.marks() == {PayloadSeal((OLD,)).mark}
        (slowest,) = await UsageFigures(ledger.database).slowest(Window(0.0, NOW + 1), 5)
        assert (slowest.name, slowest.audio_s) == ("done.mp3", 60.0)
        order_ids = [row[0] for row in await ledger.database.rows("SELECT id FROM orders")]
        orders = await ledger.orders.find(order_ids)
        assert {order.written for order in orders.values()} == {None, "/out/done.txt"}
        (routed,) = await ledger.orders.routed("r", JobStatus.QUEUED, "here", 9)
        assert routed.spec.title == "open.mp3"
        # The same job is found again, and it is the same order.
        _, order = await ledger.ordered("open")
        assert order.id in orders
        assert len(await ledger.jobs.list()) == 2

    within(story, OLD)


def test_without_the_key_it_is_not_opened(within: Callable[..., None]) -> None:
    async def seal(ledger: Opened) -> None:
        await ledger.ordered("a")

    async def nothing(_: Opened) -> None:
        pytest.fail("it was opened")

    within(seal, OLD)
    for keys in ((), (NEW,)):
        with pytest.raises(UsageError, match="set STTBATCH_PAYLOAD_KEY or payload_key_file"):
            within(nothing, *keys)


def test_plain_values_stay_readable_and_are_sealed_on_request(within: Callable[..., None]) -> None:
    async def plain(ledger: Opened) -> None:
        await ledger.fulfilled("done")
        await ledger.ordered("open")
        assert await ledger.marks() == {"{", "/"}
        with pytest.raises(UsageError, match="to a key to seal with"):
            await reseal(ledger.database)

    async def sealed(ledger: Opened) -> None:
        assert await ledger.names() == {"done.mp3", "open.mp3"}
        await ledger.ordered("new")
        assert await ledger.marks() == {"{", "/", PayloadSeal((OLD,)).mark}
        assert await reseal(ledger.database) == Resealed(jobs=2, orders=2)
        assert await ledger.marks() == {PayloadSeal((OLD,)).mark}
        assert await ledger.names() == {"done.mp3", "open.mp3", "new.mp3"}
        assert await reseal(ledger.database) == Resealed(jobs=0, orders=0)

    within(plain)
    within(sealed, OLD)


def test_keys_are_rotated(within: Callable[..., None]) -> None:
    async def old(ledger: Opened) -> None:
        await ledger.fulfilled("first")

    async def both(ledger: Opened) -> None:
        await ledger.fulfilled("second")
        assert await ledger.names() == {"first.mp3", "second.mp3"}
        assert await ledger.marks() == {PayloadSeal((key,)).mark for key in (OLD, NEW)}

    async def resealing(ledger: Opened) -> None:
        assert await reseal(ledger.database) == Resealed(jobs=1, orders=1)
        assert await ledger.database.rows(KEYS) == [(PayloadSeal((NEW,)).key_id,)]

    async def new(ledger: Opened) -> None:
        assert await ledger.names() == {"first.mp3", "second.mp3"}
        assert await ledger.marks() == {PayloadSeal((NEW,)).mark}

    within(old, OLD)
    within(both, NEW, OLD)
    within(resealing, NEW, OLD)
    within(new, NEW)


def test_many_are_sealed_while_others_write(
    backend: Backend, tmp_path: Path, within: Callable[..., None]
) -> None:
    """No transaction is long, and what is written meanwhile with the old key is sealed or noted."""

    async def many(ledger: Opened) -> None:
        await asyncio.gather(*(ledger.ordered(f"early {number}") for number in range(450)))

    async def both(ledger: Opened) -> None:
        async def written() -> None:
            seal = PayloadSeal((OLD, NEW))
            with contextlib.closing(backend.open_ledger(tmp_path, lambda: NOW, seal)) as database:
                for number in range(20):
                    await Opened(database).ordered(f"late {number}")

        done, _ = await asyncio.gather(reseal(ledger.database), written())
        assert done.jobs >= 450
        marks = await ledger.marks()
        noted = {f"fernet:{key_id}:" for (key_id,) in await ledger.database.rows(KEYS)}
        assert marks <= noted
        await reseal(ledger.database)
        assert await ledger.marks() == {PayloadSeal((NEW,)).mark}
        assert len(await ledger.names()) == 470

    within(many, OLD)
    within(both, NEW, OLD)


def test_a_payload_changes_in_nothing_but_its_seal(within: Callable[..., None]) -> None:
    async def story(ledger: Opened) -> None:
        job, _ = await ledger.ordered("a")
        change = "UPDATE processing_jobs SET payload = '{}' WHERE id = ?"
        with pytest.raises(StateError, match="a job never changes"):
            await ledger.database.write(lambda db: db.execute(change, (job.id,)))

    within(story, OLD)


def test_a_damaged_seal_is_named(within: Callable[..., None]) -> None:
    async def story(ledger: Opened) -> None:
        job, _ = await ledger.ordered("a")
        damage = "UPDATE processing_jobs SET payload = substr(payload, 1, 60)"
        await ledger.database.write(lambda db: db.execute(damage))
        with pytest.raises(StateError, match="a sealed payload of the ledger is damaged"):
            await ledger.jobs.find(job.id)

    within(story, OLD)


@pytest.mark.parametrize("key", ["short", "ü" * 44, OLD[:-2], "*" * 44])
def test_what_is_no_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(UsageError, match="key 2 is not a Fernet key") as refused:
        PayloadSeal((NEW, key))
    assert key not in str(refused.value)


def test_no_key_seals_nothing() -> None:
    assert PLAIN.sealed_text("{}") == "{}"
    assert PLAIN.opened(b"/talks") == b"/talks"
    assert PayloadSeal((OLD,)).sealed(b"x") != PayloadSeal((OLD,)).sealed(b"x")

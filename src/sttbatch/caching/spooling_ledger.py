"""A ledger of work that loses nothing while it cannot be written."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from operator import attrgetter

from sttbatch.caching.response_spool import ResponseSpool, SpooledResponse
from sttbatch.core.errors import StateError
from sttbatch.core.ports import WorkLedger
from sttbatch.core.work import AUDIO_SECONDS, Granted, RequestRecord, Usage, Verdict, WorkItem

_SPOOLED = attrgetter(
    *("item.key", "value", "request", "cost", "item.file_sha256", "item.engine", "item.model"),
    *("worker_id", "item.usage.unit", "item.usage.quantity"),
)
"""What a `SpooledResponse` holds, in its order."""


@dataclass(frozen=True, slots=True)
class SpoolingLedger:
    """A `WorkLedger` over another one; the spool keeps what that did not take."""

    ledger: WorkLedger
    spool: ResponseSpool

    async def claim(self, item: WorkItem, task_id: int, *, force: bool = False) -> Verdict:
        # There is room for the answers in flight, whatever happens to the disk.
        self.spool.reserve()
        return await self.ledger.claim(item, task_id, force=force)

    async def store(self, granted: Granted, record: RequestRecord) -> None:
        try:
            await self.ledger.store(granted, record)
        except StateError as error:
            raise self._spooled(record, error) from error

    async def record(self, record: RequestRecord) -> None:
        try:
            await self.ledger.record(record)
        except StateError as error:
            raise self._spooled(record, error) from error

    async def give_up(self, granted: Granted, error: str) -> bool:
        return await self.ledger.give_up(granted, error)

    async def holder(self, key: str) -> str | None:
        return await self.ledger.holder(key)

    async def recover(self, record: RequestRecord) -> None:
        await self.ledger.recover(record)

    async def latencies(self, engine: str, model: str, limit: int) -> list[tuple[float, float]]:
        return await self.ledger.latencies(engine, model, limit)

    async def recover_spooled(self) -> None:
        """Book what earlier runs spooled; to be called before anything is looked up."""
        with contextlib.closing(self.spool.left_behind()) as left_behind:
            for response in left_behind:
                await self.recover(_record(response))

    def _spooled(self, record: RequestRecord, error: StateError) -> StateError:
        """Keep it outside of the ledger; returns what to raise."""
        try:
            self.spool.keep(SpooledResponse(*_SPOOLED(record)))
        except StateError as lost:
            what = "an answer" if record.value is not None else "a failed request"
            return StateError(f"{error}; {what} could not be kept: {lost}")
        return StateError(
            f"{error}; what came in is kept in {self.spool.folder}, and the next run stores it"
        )


def _record(response: SpooledResponse) -> RequestRecord:
    usage = Usage(AUDIO_SECONDS, response.request.audio_s)
    if response.quantity is not None:
        usage = Usage(response.unit, response.quantity)
    of = (response.engine, response.model, usage, response.cost)
    item = WorkItem(response.key, response.file_sha256, 0, *of)
    return RequestRecord(item, response.request, response.value, response.worker_id)

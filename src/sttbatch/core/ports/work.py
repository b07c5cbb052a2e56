"""The port of work that is paid for."""

from __future__ import annotations

from typing import Protocol

from sttbatch.core.work import Granted, RequestRecord, Verdict, WorkItem


class WorkLedger(Protocol):
    """Who may pay for what, and what that brought."""

    async def claim(self, item: WorkItem, task_id: int, *, force: bool = False) -> Verdict:
        """Reserve the right to send an item of a claimed job, and its cost.

        Whether its result is stored, who holds it and what budgets allow is judged in the same
        transaction, and its span is remembered whatever the answer is. Cancelled, it holds
        nothing. `task_id` is that of the claim on the job that the item belongs to; `force` grants
        it even if its result is stored.
        """

    async def store(self, granted: Granted, record: RequestRecord) -> None:
        """Store the result, book the request that brought it, and end the claim."""

    async def record(self, record: RequestRecord) -> None:
        """Book a request that brought no result, or none that is kept."""

    async def give_up(self, granted: Granted, error: str) -> bool:
        """End a claim whose requests, if there were any, are booked; False: it was lost before."""

    async def holder(self, key: str) -> str | None:
        """The id of the worker that has claimed an item, if one has."""

    async def recover(self, record: RequestRecord) -> None:
        """Book what an earlier run could not, once; a result that is newer stays."""

    async def latencies(self, engine: str, model: str, limit: int) -> list[tuple[float, float]]:
        """(quantity, seconds until the answer) of the latest answered requests."""

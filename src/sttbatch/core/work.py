"""Work that is paid for once: items, claims and budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from sttbatch.core.engine import APIRequest
    from sttbatch.core.models import ChunkSpan

ROUNDING = 1e-9
"""Rounding errors of sums of prices are smaller; a budget may be used up exactly."""

PROBE = "doctor"
"""The key of requests of `doctor --send`, whose results are not stored."""

AUDIO_SECONDS = "audio_seconds"


class Usage(Struct, frozen=True):
    """What a request consumes, in the unit that is billed, such as seconds of audio or tokens.

    `generated` is how much of `quantity` a language model wrote, which has a price of its own.
    """

    unit: str
    quantity: float
    generated: float = 0.0

    @property
    def audio_s(self) -> float:
        """Seconds of audio; 0 if it is measured in another unit."""
        return self.quantity if self.unit == AUDIO_SECONDS else 0.0


class IndexedSpan(Struct, frozen=True):
    """Where a recording was cut, so that a later run finds the result of that part.

    `request_sha256` is a hash of everything but the audio that decides an answer.
    """

    file_sha256: str
    stream: int
    request_sha256: str
    span: ChunkSpan
    chunk_key: str


class WorkItem(Struct, frozen=True):
    """A request that is paid for at most once.

    Attributes:
        key: of its result: a hash of everything that decides it.
        file_sha256: of its recording.
        index: its ordinal within its job, for people.
        cost: in the currency of the price setting.
        span: where its recording was cut for it, if that is to be remembered.
    """

    key: str
    file_sha256: str
    index: int
    engine: str
    model: str
    usage: Usage
    cost: float
    span: IndexedSpan | None = None


class Granted(Struct, frozen=True):
    """The right to send an item; its cost is reserved until the claim ends."""

    item: WorkItem
    task_id: int
    worker_id: str


class HeldBy(Struct, frozen=True):
    """A worker, possibly this one in another lane, has claimed the item."""

    worker_id: str


class Void(Struct, frozen=True):
    """The claim on the item's job is void: its worker was taken for dead."""


class Answered(Struct, frozen=True):
    """The item's result was stored since it was looked up."""


class Budgets(Struct, frozen=True):
    """Limits in the currency of the price setting; None: no limit.

    Days and months are those of the local calendar.
    """

    per_day: float | None = None
    per_month: float | None = None


class OverBudget(Struct, frozen=True):
    """Sending would cost more than a budget allows.

    Attributes:
        setting: `budget_per_day` or `budget_per_month`.
        spent: by all runs since the day or month began, including what is reserved.
    """

    setting: str
    limit: float
    spent: float

    @property
    def message(self) -> str:
        return (
            f"sending more would exceed {self.setting} {self.limit:g} "
            f"({self.spent:.2f} are spent or reserved); run again when the "
            f"{self.setting.rpartition('_')[2]} is over, or raise it"
        )


Verdict: TypeAlias = Granted | Answered | HeldBy | OverBudget | Void
"""The result of a claim."""


class RequestRecord(Struct, frozen=True):
    """A request as the ledger books it.

    Attributes:
        value: the result of `item` in its stored form; None: the request brought none.
        worker_id, task_id: of the claim that it was sent under; empty if there was none.
    """

    item: WorkItem
    request: APIRequest
    value: bytes | None = None
    worker_id: str = ""
    task_id: int = 0

    @property
    def cost(self) -> float:
        """0 where it was neither billed nor possibly billed."""
        return self.item.cost if self.request.paid or self.request.maybe_paid else 0.0

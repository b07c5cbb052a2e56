"""What may be spent in a day and in a month, by all processes together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from sttbatch.database.session import Session

ROUNDING = 1e-9
"""Sums of prices are off by less; a budget that is met exactly is kept."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """Limits in the currency of the price setting; None: no limit.

    Days and months are those of the local calendar.
    """

    per_day: float | None = None
    per_month: float | None = None


@dataclass(frozen=True, slots=True)
class OverBudget:
    """Sending would cost more than a budget allows.

    Attributes:
        setting: `budget_per_day` or `budget_per_month`.
        spent: what was spent since midnight or the first, and what is reserved by all processes.
    """

    setting: str
    limit: float
    spent: float

    @property
    def message(self) -> str:
        """What happened, and what to do."""
        return (
            f"sending more would exceed {self.setting} {self.limit:g} "
            f"({self.spent:.2f} are spent or reserved); run again when the "
            f"{self.setting.rpartition('_')[2]} is over, or raise it"
        )


def midnight(now: float) -> float:
    """When the local day of `now` began; both in seconds since the epoch."""
    local = time.localtime(now)
    return time.mktime((local.tm_year, local.tm_mon, local.tm_mday, 0, 0, 0, -1, -1, -1))


def first_of_month(now: float) -> float:
    """When the local month of `now` began; both in seconds since the epoch."""
    local = time.localtime(now)
    return time.mktime((local.tm_year, local.tm_mon, 1, 0, 0, 0, -1, -1, -1))


def spent_since(db: Session, at: float) -> float:
    """What posts since then cost, maybe paid ones included."""
    query = "SELECT coalesce(sum(cost), 0.0) FROM requests WHERE at >= ?"
    return float(db.execute(query, (at,)).fetchone()[0])


def reserved(db: Session) -> float:
    """What is being sent and has no row in `requests` yet."""
    query = "SELECT coalesce(sum(reserved_cost), 0.0) FROM chunk_tasks WHERE status = 'PROCESSING'"
    return float(db.execute(query).fetchone()[0])


def over_budget(db: Session, budgets: Budgets, cost: float, now: float) -> OverBudget | None:
    """What forbids to spend `cost`, if anything does; what is free is never forbidden.

    Reservations count whole: what was claimed before midnight may well be billed after it.
    """
    if not cost:
        return None
    for setting, limit, since in _limits(budgets, now):
        spent = spent_since(db, since) + reserved(db)
        if spent + cost > limit + ROUNDING:
            return OverBudget(setting, limit, spent)
    return None


def _limits(budgets: Budgets, now: float) -> Iterator[tuple[str, float, float]]:
    if budgets.per_day is not None:
        yield "budget_per_day", budgets.per_day, midnight(now)
    if budgets.per_month is not None:
        yield "budget_per_month", budgets.per_month, first_of_month(now)

"""What one run may cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sttbatch.core.errors import BudgetReached
from sttbatch.core.work import ROUNDING


@dataclass(slots=True)
class RunBudget:
    """What this run may cost; reserved before sending, so that lanes cannot overdraw together."""

    limit: float | None
    spent: float = 0.0
    reserved: float = 0.0

    @contextmanager
    def reserved_for(self, cost: float) -> Iterator[None]:
        """Raises BudgetReached when it would not be covered."""
        planned = self.spent + self.reserved + cost
        if self.limit is not None and planned > self.limit + ROUNDING:
            raise BudgetReached(
                f"sending more would cost more than --max-cost {self.limit:g} "
                f"({self.spent + self.reserved:.2f} are spent); run again to go on"
            )
        self.reserved += cost
        try:
            yield
        finally:
            self.reserved -= cost

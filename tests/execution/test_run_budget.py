"""What one run may cost is spent to the last kopeck, and not beyond."""

from __future__ import annotations

import pytest

from sttbatch.core.errors import BudgetReached
from sttbatch.execution.pay_once import RunBudget


def test_a_sum_of_tenths_reaches_its_limit() -> None:
    budget = RunBudget(limit=0.3)
    # In floats three tenths are a little more than 0.3.
    with budget.reserved_for(0.1), budget.reserved_for(0.1), budget.reserved_for(0.1):
        assert budget.reserved > 0.3
        with pytest.raises(BudgetReached, match=r"--max-cost 0\.3"), budget.reserved_for(0.001):
            pass
    assert budget.reserved == pytest.approx(0)

"""Whether limits of cost can be held."""

from __future__ import annotations

from sttbatch.composition.settings import Settings
from sttbatch.core.errors import UsageError
from sttbatch.core.language_models import TokenPrices


def check_limits(
    model: str,
    prices: TokenPrices | None,
    settings: Settings,
    max_cost: float | None,
    needed: str,
) -> None:
    """Raises UsageError if a limit of cost needs prices that nobody says; `needed`: settings."""
    limits = {
        "--max-cost": max_cost,
        "budget_per_day": settings.budget_per_day,
        "budget_per_month": settings.budget_per_month,
    }
    needing = next((name for name, limit in limits.items() if limit is not None), None)
    if prices is None and needing is not None:
        raise UsageError(
            f"the endpoint does not say what the model {model} costs, which {needing} needs; "
            f"set {needed}, in RUB per million tokens"
        )

"""Alert rules at work: over the ledger, told in the log or to a webhook."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sttbatch.core.events import Emit
from sttbatch.database.database import Database

if TYPE_CHECKING:
    from sttbatch.monitoring.alert_rules import AlertRule


@contextlib.asynccontextmanager
async def watching(
    rules: Sequence[AlertRule], database: Database, emit: Emit
) -> AsyncIterator[None]:
    """Evaluate the rules every minute, and at the end. Costs nothing where there are none."""
    if not rules:
        yield
        return
    from sttbatch.monitoring.alert_queries import LedgerReadings
    from sttbatch.monitoring.alerts import AlertEvaluator, AlertStates, watched

    evaluator = AlertEvaluator(
        rules, LedgerReadings(database), AlertStates(database), deliver, emit
    )
    async with watched(evaluator, emit):
        yield


async def deliver(url: str, payload: Mapping[str, Any]) -> None:
    """Raises NotificationError where the webhook does not take it."""
    # httpx takes longer to import than most runs have alerts to tell.
    from sttbatch.external.notifications.webhook import post_webhook

    await post_webhook(url, payload)

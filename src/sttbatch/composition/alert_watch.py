"""Alert rules over the ledger, with the log and webhooks as their channels."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sttbatch.core.events import Emit
from sttbatch.database.database import Database

if TYPE_CHECKING:
    from sttbatch.monitoring.alerts import AlertRule


@contextlib.asynccontextmanager
async def watching(
    rules: Sequence[AlertRule], database: Database, emit: Emit
) -> AsyncIterator[None]:
    """Evaluate the rules every minute, and at the end; free of cost where there are none."""
    if not rules:
        yield
        return
    from sttbatch.database.alerts import Alerts
    from sttbatch.monitoring.alerts import AlertEvaluator, watched

    async with watched(AlertEvaluator(rules, Alerts(database), deliver, emit), emit):
        yield


async def deliver(url: str, payload: Mapping[str, Any]) -> None:
    """Post to a webhook; raises NotificationError where it is not accepted."""
    # Importing httpx is slow, and most runs have no alert to deliver.
    from sttbatch.external.notifications.webhook import post_webhook

    await post_webhook(url, payload)

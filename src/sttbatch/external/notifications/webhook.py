"""Notifications to a webhook: one request, no redirect, five seconds, never a key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from sttbatch.core.errors import NotificationError
from sttbatch.core.version import __version__
from sttbatch.external.tls import certificate_error, ssl_context

DEADLINE_S = 5.0


async def post_webhook(url: str, payload: Mapping[str, Any]) -> None:
    """Post `payload` as JSON.

    It raises NotificationError where it was not accepted, which names the host alone, as such
    addresses hold tokens, and UsageError as `ssl_context`.
    """
    host = urlsplit(url).netloc
    context = await asyncio.to_thread(ssl_context)
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            httpx.AsyncClient(
                verify=context,
                timeout=None,  # noqa: S113 - a second deadline would race with the one above
                follow_redirects=False,
                headers={"User-Agent": f"sttbatch/{__version__}"},
            ) as client,
            # The response's body is not read: it is of no use and may be endless.
            client.stream("POST", url, json=dict(payload)) as response,
        ):
            status = response.status_code
    except TimeoutError as error:
        raise NotificationError(
            f"the webhook at {host} did not answer within {DEADLINE_S:g} s"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        reason = certificate_error(error) or type(error).__name__
        raise NotificationError(
            f"the webhook at {host} cannot be reached ({reason}); check its url in the settings"
        ) from error
    if not 200 <= status < 300:
        raise NotificationError(
            f"the webhook at {host} answered {status}; check its url in the settings"
        )

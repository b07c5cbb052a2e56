"""Notifications: alerts to webhooks, metrics to a Pushgateway or by Prometheus's remote write.

None follows redirects, or has the API key.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from sttbatch.core.addresses import is_loopback
from sttbatch.core.errors import NotificationError, UsageError
from sttbatch.core.version import __version__
from sttbatch.external.tls import certificate_error, ssl_context

WEBHOOK_DEADLINE_S = 5.0
PUSH_DEADLINE_S = 10.0

JOB = "sttbatch"


async def post_webhook(url: str, payload: Mapping[str, Any]) -> None:
    """Post `payload` as JSON.

    Raises NotificationError if it is not accepted, with the host alone, since such URLs contain
    tokens, and UsageError as `ssl_context`.
    """
    host = urlsplit(url).netloc
    try:
        status = await _status("POST", url, WEBHOOK_DEADLINE_S, json=dict(payload))
    except TimeoutError as error:
        raise NotificationError(
            f"the webhook at {host} did not answer within {WEBHOOK_DEADLINE_S:g} s"
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


def gateway_at(url: str) -> httpx.URL:
    """Parse an address; raises UsageError if it cannot be that of a Pushgateway."""
    gateway = _address("--push", url, "a Pushgateway: http://host:9091")
    if gateway.query or gateway.fragment:
        raise UsageError("--push: the address of a Pushgateway contains no ? and no #")
    return gateway


def receiver_at(url: str) -> httpx.URL:
    """Parse an address; raises UsageError if nothing can be written there."""
    return _address("--remote-write", url, "a receiver: http://host:9090/api/v1/write")


def _address(option: str, url: str, of_what: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        # Its message may contain a password.
        raise UsageError(f"{option}: the address is invalid; check its port") from None
    if address.scheme not in {"http", "https"} or not address.host:
        raise UsageError(f"{option} needs the address of {of_what}")
    return address


async def push(gateway: httpx.URL, exposition: bytes) -> None:
    """Replace the metrics of sttbatch on this machine in a Pushgateway.

    Raises NotificationError if it does not accept them, and UsageError as `ssl_context`.
    """
    instance = quote(socket.gethostname(), safe="")
    await _deliver(
        "Pushgateway",
        gateway,
        "PUT",
        f"{str(gateway).rstrip('/')}/metrics/job/{JOB}/instance/{instance}",
        content=exposition,
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )


async def remote_write(receiver: httpx.URL, message: bytes) -> None:
    """Send a message of Prometheus's remote write 1.0; raises as `push`."""
    await _deliver(
        "receiver",
        receiver,
        "POST",
        str(receiver),
        content=message,
        headers={
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        },
    )


async def _deliver(what: str, address: httpx.URL, method: str, url: str, **content: Any) -> None:
    # A query may have a token.
    display_url = address.copy_with(userinfo=b"", query=None)
    try:
        status = await _status(method, url, PUSH_DEADLINE_S, **content)
    except TimeoutError as error:
        raise NotificationError(
            f"the {what} at {display_url} did not answer within {PUSH_DEADLINE_S:g} s; "
            "it is not known whether it took what was pushed"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        reason = certificate_error(error) or str(error) or type(error).__name__
        raise NotificationError(
            f"the {what} at {display_url} cannot be reached ({reason}); nothing was pushed. "
            "Check the address and whether it runs"
        ) from error
    if not 200 <= status < 300:
        raise NotificationError(
            f"the {what} at {display_url} answered {status}; nothing was pushed. {_advice(status)}"
        )


async def _status(method: str, url: str, deadline_s: float, **content: Any) -> int:
    """Send a request and return the status of the response.

    Raises TimeoutError after `deadline_s` in all, the errors of httpx, and UsageError as
    `ssl_context`.
    """
    context = await asyncio.to_thread(ssl_context)
    async with (
        asyncio.timeout(deadline_s),
        httpx.AsyncClient(
            verify=context,
            timeout=None,  # noqa: S113 - the deadline is the one above
            follow_redirects=False,
            headers={"User-Agent": f"sttbatch/{__version__}"},
            trust_env=not is_loopback(url),
        ) as client,
        # The response's body is not needed, and may be endless.
        client.stream(method, url, **content) as response,
    ):
        return response.status_code


def _advice(status: int) -> str:
    if status in {401, 403}:
        return "Give user and password in the address: https://user:password@host"
    if 300 <= status < 400:
        return "Redirects are not followed: give the address that it redirects to"
    return "Check the address, and the gateway's log"

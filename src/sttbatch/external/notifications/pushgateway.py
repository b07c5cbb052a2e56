"""Metrics pushed to a Pushgateway: one PUT, no redirect, ten seconds, never a key."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx

from sttbatch.core.errors import NotificationError, UsageError
from sttbatch.external.tls import certificate_error, ssl_context

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

DEADLINE_S = 10.0
"""Deadline of each step: of the connection, and of the wait for the response."""

JOB = "sttbatch"


def gateway_at(url: str) -> httpx.URL:
    """Parse an address; raises UsageError where it cannot be one of a Pushgateway."""
    try:
        gateway = httpx.URL(url)
    except httpx.InvalidURL:
        # Its message would show everything in the place of the port, a password included.
        raise UsageError("--push: the address cannot be read, check its port") from None
    if gateway.scheme not in {"http", "https"} or not gateway.host:
        raise UsageError("--push needs the address of a Pushgateway: http://host:9091")
    if gateway.query or gateway.fragment:
        raise UsageError("--push: the address of a Pushgateway has no ? and no #")
    return gateway


def push(gateway: httpx.URL, registry: CollectorRegistry) -> None:
    """Replace the metrics that the gateway holds of sttbatch on this machine.

    It raises NotificationError where it does not accept them, UsageError as `ssl_context`.
    """
    from prometheus_client import generate_latest

    display_url = gateway.copy_with(userinfo=b"")
    instance = quote(socket.gethostname(), safe="")
    try:
        with httpx.stream(
            "PUT",
            f"{str(gateway).rstrip('/')}/metrics/job/{JOB}/instance/{instance}",
            content=generate_latest(registry),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
            timeout=DEADLINE_S,
            verify=ssl_context(),
        ) as response:
            status = response.status_code
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        reason = certificate_error(error) or str(error) or type(error).__name__
        raise NotificationError(
            f"the Pushgateway at {display_url} cannot be reached ({reason}); nothing was pushed. "
            "Check the address and whether it runs"
        ) from error
    if not 200 <= status < 300:
        raise NotificationError(
            f"the Pushgateway at {display_url} answered {status}; nothing was pushed. "
            f"{_advice(status)}"
        )


def _advice(status: int) -> str:
    if status in {401, 403}:
        return "Give user and password in the address: https://user:password@host"
    if 300 <= status < 400:
        return "Redirects are not followed: give the address that it redirects to"
    return "Check the address, and the gateway's log"

"""Metrics pushed to a Pushgateway: one PUT, no redirect, ten seconds, never a key."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx

from sttbatch.core.errors import NotificationError, UsageError
from sttbatch.external.tls import certificate_error, ssl_context

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

DEADLINE_S = 10.0
"""Deadline of each step: of the connection, and of the wait for the response."""

JOB = "sttbatch"


@dataclass(frozen=True, slots=True)
class Gateway:
    """The address of a Pushgateway.

    Attributes:
        url: without user and password, so that it can be shown.
        login: (user, password), where the address had them.
    """

    url: str
    login: tuple[str, str] | None


def gateway_at(url: str) -> Gateway:
    """Parse an address; raises UsageError where it cannot be one of a Pushgateway."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        # Its message would show everything in the place of the port, a password included.
        raise UsageError("--push: the address cannot be read, check its port") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError("--push needs the address of a Pushgateway: http://host:9091")
    if parts.query or parts.fragment:
        raise UsageError("--push: the address of a Pushgateway has no ? and no #")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    display_url = urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))
    login = None
    if parts.username is not None:
        login = (unquote(parts.username), unquote(parts.password or ""))
    return Gateway(display_url, login)


def push(gateway: Gateway, registry: CollectorRegistry) -> None:
    """Replace the metrics that the gateway holds of sttbatch on this machine.

    Raises:
        NotificationError: the gateway did not accept them.
        UsageError: SSL_CERT_FILE names nothing that can be used.
    """
    from prometheus_client import generate_latest

    instance = quote(socket.gethostname(), safe="")
    try:
        with httpx.stream(
            "PUT",
            f"{gateway.url.rstrip('/')}/metrics/job/{JOB}/instance/{instance}",
            content=generate_latest(registry),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
            auth=gateway.login,
            timeout=DEADLINE_S,
            verify=ssl_context(),
        ) as response:
            status = response.status_code
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        reason = certificate_error(error) or str(error) or type(error).__name__
        raise NotificationError(
            f"the Pushgateway at {gateway.url} cannot be reached ({reason}); nothing was pushed. "
            "Check the address and whether it runs"
        ) from error
    if not 200 <= status < 300:
        raise NotificationError(
            f"the Pushgateway at {gateway.url} answered {status}; nothing was pushed. "
            f"{_advice(status)}"
        )


def _advice(status: int) -> str:
    if status in {401, 403}:
        return "Give user and password in the address: https://user:password@host"
    if 300 <= status < 400:
        return "Redirects are not followed: give the address that it redirects to"
    return "Check the address, and the gateway's log"

"""Which addresses mean this machine."""

from __future__ import annotations

from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine; what is sent there leaves it on no way."""


def is_loopback(url: str) -> bool:
    """Whether a URL is of this machine, so that no proxy has a part in it."""
    try:
        host = urlsplit(url).hostname or ""
        if host in LOOPBACK:
            return True
        from ipaddress import ip_address

        return ip_address(host).is_loopback
    except ValueError:
        return False

"""Addresses of this machine, and the spellings of one origin."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine."""

_SPELLINGS = ("127.0.0.1", "localhost", "[::1]")


# Options of a session, and names with %xx, may hold anything.
_SECRET = re.compile(r"(?<=[?&;])([^=&]*(?:password|options|%)[^=&]*=)[^&]*", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=://)([^/@:]*):.*@")


def without_password(url: str) -> str:
    """A database's URL for people to read: `***` in place of its passwords."""
    return _PASSWORD.sub(r"\1:***@", _SECRET.sub(r"\1***", url))


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine, so that no proxy may be used."""
    try:
        host = urlsplit(url).hostname or ""
        if host in LOOPBACK:
            return True
        from ipaddress import ip_address

        return ip_address(host).is_loopback
    except ValueError:
        return False


def origins(url: str) -> tuple[str, ...]:
    """All spellings of the origin of a URL, the preferred one first.

    Over plain HTTP this machine has one origin for each port, whatever its name; any other origin
    has one spelling.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        return (f"{parts.scheme}://{parts.netloc}",)
    ports = ["", ":80"] if parts.port in {None, 80} else [f":{parts.port}"]
    return tuple(f"http://{host}{port}" for port in ports for host in _SPELLINGS)

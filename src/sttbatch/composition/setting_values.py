"""Parses and checks values of settings, and finds their lines in a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sttbatch.core.addresses import LOOPBACK
from sttbatch.core.errors import UsageError

LANGUAGES = """
    af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha
    haw he hi hr ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr
    ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg
    th tk tl tr tt uk ur uz vi yi yo zh yue
"""
"""Whisper's language codes, from openai/whisper's `tokenizer.py`: ISO 639-1, and haw, jw, yue."""

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def line_of(lines: Sequence[str], key: str) -> int:
    """The number of the line where a key or table begins, from 1; the first if there is none."""
    pattern = re.compile(rf"^\s*(\[\[?\s*)?[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    return next((number for number, line in enumerate(lines, 1) if pattern.match(line)), 1)


def duration_s(value: Any) -> float:
    """Seconds from a duration: 90, "90", "90s", "10m", "2h", "7d"; raises ValueError."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*([smhd]?)\s*", str(value))
    if match is None:
        raise ValueError("it must be a duration such as 90, 90s, 10m or 1h")
    return float(match[1]) * _UNITS_S[match[2] or "s"]


def option_s(option: str, text: str) -> float:
    """Seconds from a duration in an option; raises UsageError, which names the option."""
    try:
        return duration_s(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}") from error


def check_address(url: str) -> None:
    """Raise ValueError for what is no address of a server."""
    from urllib.parse import urlsplit

    if not url.isprintable() or " " in url:
        raise ValueError("it contains characters that are not allowed in an address")
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise ValueError("it must begin with https://")
    # Both raise a ValueError with the reason.
    _ = parts.port, parts.hostname.encode("idna")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("it must be an address and a path, nothing else")


def check_base_url(url: str) -> None:
    """Raise ValueError for an address to which the key must not be sent."""
    from urllib.parse import urlsplit

    check_address(url)
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("the key is sent over https only (http to this machine is allowed)")
    if parts.path.rstrip("/").endswith("/audio/transcriptions"):
        raise ValueError("omit /audio/transcriptions, which sttbatch adds")

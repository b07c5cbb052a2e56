"""The `[[alerts]]` tables of the user's settings file, parsed and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from sttbatch.composition.setting_values import duration_s, line_of
from sttbatch.core.addresses import LOOPBACK
from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import KINDS
from sttbatch.monitoring.alerts import ALERT_METRICS, AlertRule, Channel, Comparison, Severity

MAX_WINDOW_S = 366 * 86_400.0

_KEYS: Mapping[str, tuple[str, Any]] = {
    "name": ("name", str),
    "metric": ("metric", str),
    "kind": ("kind", str),
    "comparison": ("comparison", Comparison),
    "threshold": ("threshold", float),
    "window": ("window_s", float),
    "severity": ("severity", Severity),
    "notify": ("channels", Channel | list[Channel]),
    "url": ("urls", str | list[str]),
    "enabled": ("enabled", bool),
}
"""The keys of a table, with the fields of AlertRule that they set, and their types."""


def alert_rules(tables: Any, text: str, path: Path) -> tuple[AlertRule, ...]:
    """The rules in `tables`, which tomllib parsed from `text`, the content of `path`.

    Raises UsageError, which names file and line, if a table is wrong.
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        line = line_of(text.splitlines(), "alerts")
        raise UsageError(f"{path}, line {line}: alerts are tables, each starts with [[alerts]]")
    rules: list[AlertRule] = []
    for table, (first, lines) in zip(tables, _sections(text, len(tables)), strict=True):
        try:
            rules.append(_rule(table, rules))
        except _TableError as error:
            line = first + (line_of(lines, error.key) if error.key else 1)
            raise UsageError(f"{path}, line {line}: {error}") from error
    return tuple(rules)


class _TableError(ValueError):
    """A table is wrong; `key` is the key at fault, or empty."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def _rule(table: dict[str, Any], others: Sequence[AlertRule]) -> AlertRule:
    fields = dict(_field(key, value) for key, value in table.items())
    for key in ("metric", "threshold"):
        if key not in table:
            raise _TableError("", f"an alert needs a {key}")
    rule = AlertRule(**{"name": "", **fields})
    if not rule.name:
        rule = replace(rule, name=rule.condition)
    if rule.metric not in ALERT_METRICS:
        raise _TableError(
            "metric", f"there is no metric {rule.metric!r}, only {', '.join(ALERT_METRICS)}"
        )
    if rule.kind is not None and rule.kind not in KINDS:
        raise _TableError("kind", f"kind = {rule.kind!r}; it is one of {' '.join(KINDS)}")
    if not 1 <= rule.window_s <= MAX_WINDOW_S:
        raise _TableError("window", f"window = {table['window']!r}: it must be 1s to 366d")
    _check_channels(rule)
    if any(rule.name == other.name for other in others):
        raise _TableError("name", f"there are two alerts {rule.name!r}; give each its own name")
    return rule


def _check_channels(rule: AlertRule) -> None:
    if not rule.channels:
        raise _TableError("notify", "notify = []: name a channel, or set enabled = false")
    if Channel.WEBHOOK in rule.channels and not rule.urls:
        raise _TableError("notify", 'notify = "webhook" needs a url')
    if rule.urls and Channel.WEBHOOK not in rule.channels:
        raise _TableError("url", 'a url is for notify = "webhook" only')
    for url in rule.urls:
        _check_url(url)


def _field(key: str, value: Any) -> tuple[str, Any]:
    if key not in _KEYS:
        raise _TableError(key, f"an alert has no {key!r}, only {', '.join(_KEYS)}")
    field, kind = _KEYS[key]
    try:
        converted = msgspec.convert(duration_s(value) if key == "window" else value, kind)
    except (msgspec.ValidationError, ValueError) as error:
        reason = str(error).split(" - at `")[0]
        raise _TableError(key, f"{key} = {value!r}: {reason}{_choices(key)}") from error
    if key in ("notify", "url"):
        # A single value needs no brackets.
        converted = tuple(dict.fromkeys(converted if isinstance(converted, list) else [converted]))
    return field, converted


def _choices(key: str) -> str:
    kinds = {"comparison": Comparison, "severity": Severity, "notify": Channel}
    return f"; it is one of {' '.join(kinds[key])}" if key in kinds else ""


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise _TableError("url", "a webhook needs https (http to this machine is allowed)")
    if not parts.hostname or parts.username or parts.password or parts.fragment:
        raise _TableError("url", "the url must be a host, a path and a query, nothing else")


def _sections(text: str, count: int) -> list[tuple[int, list[str]]]:
    """The index of the first line, and the lines, of each table; of all if that is unknown."""
    lines = text.splitlines()
    header = re.compile(r"^\s*\[\[\s*[\"']?alerts[\"']?\s*\]\]")
    starts = [n for n, line in enumerate(lines) if header.match(line)]
    if len(starts) != count:
        # An inline array.
        return [(0, lines)] * count
    ends = [*starts[1:], len(lines)]
    return [(start, lines[start:end]) for start, end in zip(starts, ends, strict=True)]

"""Families as a message of Prometheus's remote write 1.0: a protobuf of few fields, by snappy.

Needs the extra `prometheus`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

import cramjam
from prometheus_client.metrics_core import Metric as Family

_VARINT, _FIXED_64, _BYTES = 0, 1, 2


def message(families: Iterable[Family], target: Mapping[str, str], at_ms: int) -> bytes:
    """The current value of each series; `target` are labels that a scrape would add.

    `at_ms` is in milliseconds since the epoch.
    """
    request = b"".join(
        _field(
            1, _series({**sample.labels, **target, "__name__": sample.name}, sample.value, at_ms)
        )
        for family in families
        for sample in family.samples
    )
    return bytes(cramjam.snappy.compress_raw(request))


def _series(labels: Mapping[str, str], value: float, at_ms: int) -> bytes:
    # Receivers want them in order, and take an empty one as missing.
    pairs = sorted((name, text) for name, text in labels.items() if text)
    encoded = (
        _field(1, _field(1, name.encode()) + _field(2, text.encode())) for name, text in pairs
    )
    sample = _tag(1, _FIXED_64) + struct.pack("<d", value) + _tag(2, _VARINT) + _varint(at_ms)
    return b"".join(encoded) + _field(2, sample)


def _field(number: int, content: bytes) -> bytes:
    return _tag(number, _BYTES) + _varint(len(content)) + content


def _tag(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])

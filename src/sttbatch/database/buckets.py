"""Histograms in SQL: the bucket of a value, and sums that do not depend on their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from sttbatch.core.figures import Bucket

MILLION = 1_000_000
NO_BOUND = 1e308
"""Upper end of the last bucket. Rows of `carried` from older versions hold infinity instead."""

Key = TypeVar("Key", bound=Hashable)


def micros(expression: str) -> str:
    """SQL that sums an expression up in whole millionths."""
    return f"sum(CAST(round(({expression}) * {MILLION}) AS BIGINT))"


def bound_of(column: str, bounds: Sequence[float]) -> str:
    """SQL for the upper end of a value's bucket."""
    cases = " ".join(f"WHEN {column} <= {bound} THEN {float(bound)}" for bound in bounds)
    return f"CASE {cases} ELSE {NO_BOUND} END"


def buckets_by(rows: Iterable[tuple[Key, float, int, int]]) -> dict[Key, list[Bucket]]:
    """Rows of (key, bound, count, micros) as buckets by their keys."""
    buckets: defaultdict[Key, list[Bucket]] = defaultdict(list)
    for key, bound, count, total in rows:
        buckets[key].append(Bucket(bound, count, total / MILLION))
    return buckets

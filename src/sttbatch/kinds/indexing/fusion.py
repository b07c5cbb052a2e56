"""Reciprocal rank fusion: one order from several, whatever their scores are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import groupby
from typing import TypeVar

T = TypeVar("T")

K = 60
"""As in Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
Rank Learning Methods" (SIGIR 2009)."""


def fused(*scores: Mapping[T, float]) -> dict[T, float]:
    """The sum of 1 / (K + rank) over the orders by each of `scores`, of which more is better.

    What has the same score has the same rank, the last of them: an order that hardly distinguishes
    things says little.
    """
    sums: dict[T, float] = defaultdict(float)
    for each in scores:
        rank = 0
        ordered = sorted(each, key=each.__getitem__, reverse=True)
        for _, group in groupby(ordered, each.__getitem__):
            equal = list(group)
            rank += len(equal)
            for thing in equal:
                sums[thing] += 1 / (K + rank)
    return dict(sums)

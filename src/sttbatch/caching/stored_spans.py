"""Spans of a recording whose answers are stored."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from sttbatch.caching.stored_chunk import StoredChunk, decoded
from sttbatch.core.models import ChunkSpan
from sttbatch.core.ports import ChunkIndex


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A span of a recording, and its stored answer."""

    span: ChunkSpan
    chunk_key: str
    value: StoredChunk


async def stored_spans(
    index: ChunkIndex, file_sha256: str, stream: int, request_sha256: str
) -> tuple[StoredSpan, ...]:
    """Those of a recording that have an answer: in order, none overlapping another."""
    return _disjoint(
        [
            StoredSpan(result.span, result.chunk_key, value)
            for result in await index.results(file_sha256, stream, request_sha256)
            if (value := decoded(result.data, StoredChunk)) is not None
        ]
    )


def _disjoint(spans: Sequence[StoredSpan]) -> tuple[StoredSpan, ...]:
    """The choice of spans that do not overlap and together cover the most.

    Weighted interval scheduling: runs with other chunk lengths may have left several ways to
    cover the same recording.
    """
    ordered = sorted(spans, key=lambda stored: stored.span.end.pts)
    ends = [stored.span.end.pts for stored in ordered]
    # The most that the first so many can cover, and how many come before the last one chosen.
    best = [0]
    before_it: list[int | None] = []
    for index, stored in enumerate(ordered):
        before = bisect_right(ends, stored.span.start.pts, 0, index)
        with_it = best[before] + stored.span.end.pts - stored.span.start.pts
        is_better = with_it > best[index]
        best.append(max(with_it, best[index]))
        before_it.append(before if is_better else None)
    chosen = []
    at = len(ordered)
    while at:
        before_last = before_it[at - 1]
        if before_last is None:
            at -= 1
            continue
        chosen.append(ordered[at - 1])
        at = before_last
    return tuple(reversed(chosen))

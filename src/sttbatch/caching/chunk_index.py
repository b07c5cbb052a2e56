"""Where recordings were cut, and which of those stretches have their words."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from sttbatch.caching.ledger_level import LedgerLevel
from sttbatch.caching.levels import KEYS_A_QUERY
from sttbatch.caching.stored_chunk import StoredChunk, decode_chunk
from sttbatch.core.models import ChunkSpan, CutPoint
from sttbatch.core.work import IndexedSpan
from sttbatch.database.session import Session

_anchors_decoder = msgspec.json.Decoder(tuple[tuple[float, float], ...])

REMEMBER = "INSERT OR REPLACE INTO cuts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
KEPT = """
    SELECT start_pts, end_pts, start_overlap, end_overlap, start_s, end_s, anchors,
           key, value, sha256, created_at, expires_at
    FROM cuts JOIN cache_entries ON key = chunk_key
    WHERE file_sha256 = ? AND stream = ? AND request_sha256 = ?
    ORDER BY start_pts, end_pts DESC"""


def kept_lengths(count: int) -> str:
    """The look-up of stretches of `count` recordings; answers are not read."""
    marks = ",".join("?" * count)
    return f"""SELECT file_sha256, start_s, end_s
               FROM cuts JOIN cache_entries ON key = chunk_key
               WHERE file_sha256 IN ({marks}) AND stream = ? AND request_sha256 = ?
               ORDER BY file_sha256, start_s"""  # noqa: S608 - question marks only


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A stretch that already has its words."""

    span: ChunkSpan
    chunk_key: str
    value: StoredChunk


class ChunkIndex:
    """The table `cuts`: a later run with other flags keeps every stretch that has its words."""

    def __init__(self, ledger: LedgerLevel) -> None:
        self._ledger = ledger

    async def remember(self, indexed: IndexedSpan) -> None:
        """Write down where a recording was cut."""
        await self._ledger.database.write(lambda db: self.insert(db, indexed))

    def insert(self, db: Session, indexed: IndexedSpan) -> None:
        """The same, within the caller's transaction."""
        span = indexed.span
        row = (
            indexed.file_sha256,
            indexed.stream,
            indexed.request_sha256,
            span.start.pts,
            span.end.pts,
            span.start.overlap,
            span.end.overlap,
            span.start_s,
            span.end_s,
            msgspec.json.encode(span.time_map).decode(),
            indexed.chunk_key,
        )
        db.execute(REMEMBER, row)

    async def of(
        self, file_sha256: str, stream: int, request_sha256: str
    ) -> tuple[StoredSpan, ...]:
        """The stretches of a recording that have their words: in order, and apart."""
        rows = await self._ledger.database.read(
            lambda db: db.execute(KEPT, (file_sha256, stream, request_sha256)).fetchall()
        )
        return _apart([each for row in rows if (each := self._kept(row)) is not None])

    async def lengths(
        self, file_sha256s: Sequence[str], stream: int, request_sha256: str
    ) -> dict[str, float]:
        """Seconds of each recording that have their words, damaged or expired ones included.

        For estimates: what is really there is known once the answers are read, by `of`.
        """
        found: dict[str, float] = {}
        for at in range(0, len(file_sha256s), KEYS_A_QUERY):
            part = file_sha256s[at : at + KEYS_A_QUERY]
            row = (*part, stream, request_sha256)
            found |= _covered(await self._ledger.database.read(partial(_stretches, row=row)))
        return found

    def _kept(self, row: Sequence[Any]) -> StoredSpan | None:
        start_pts, end_pts, start_overlap, end_overlap, start_s, end_s, anchors, key, *entry = row
        found = self._ledger.opened(key, *entry)
        value = decode_chunk(found.data) if found is not None else None
        try:
            places = _anchors_decoder.decode(anchors)
        except msgspec.DecodeError:
            # No seal is over them. What is cut again there finds its answer by its own key.
            return None
        if value is None:
            return None
        span = ChunkSpan(
            index=0,
            start=CutPoint(start_pts, bool(start_overlap)),
            end=CutPoint(end_pts, bool(end_overlap)),
            start_s=start_s,
            end_s=end_s,
            time_map=places,
        )
        return StoredSpan(span, key, value)


def _stretches(db: Session, row: Sequence[Any]) -> list[tuple[str, float, float]]:
    return db.execute(kept_lengths(len(row) - 2), row).fetchall()


def _covered(stretches: Sequence[tuple[str, float, float]]) -> dict[str, float]:
    """Seconds under at least one stretch; they are sorted by recording and start."""
    covered: dict[str, float] = {}
    reached: dict[str, float] = {}
    for file_sha256, start_s, end_s in stretches:
        new_s = end_s - max(start_s, reached.get(file_sha256, 0.0))
        covered[file_sha256] = covered.get(file_sha256, 0.0) + max(0.0, new_s)
        reached[file_sha256] = max(end_s, reached.get(file_sha256, 0.0))
    return covered


def _apart(found: Sequence[StoredSpan]) -> tuple[StoredSpan, ...]:
    """The choice of stretches that do not overlap and together cover the most.

    Weighted interval scheduling: runs with other chunk lengths may have left several ways to
    cover the same recording.
    """
    ordered = sorted(found, key=lambda each: each.span.end.pts)
    ends = [each.span.end.pts for each in ordered]
    # The most that the first so many can cover, and how many come before the last one chosen.
    best = [0]
    before_it: list[int | None] = []
    for index, each in enumerate(ordered):
        before = bisect_right(ends, each.span.start.pts, 0, index)
        with_it = best[before] + each.span.end.pts - each.span.start.pts
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

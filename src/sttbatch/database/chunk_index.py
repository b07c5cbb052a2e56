"""Where recordings were cut: the table `cuts`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from sttbatch.core.cache_entries import IndexedResult
from sttbatch.core.models import ChunkSpan, CutPoint
from sttbatch.core.work import IndexedSpan
from sttbatch.database.database import Database
from sttbatch.database.results import SqlResultStore
from sttbatch.database.store import Session

REMEMBER = """
    INSERT INTO cuts (file_sha256, stream, request_sha256, start_pts, end_pts, start_overlap,
                      end_overlap, start_s, end_s, anchors, chunk_key)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (file_sha256, stream, request_sha256, start_pts, end_pts) DO UPDATE SET
        start_overlap = excluded.start_overlap, end_overlap = excluded.end_overlap,
        start_s = excluded.start_s, end_s = excluded.end_s, anchors = excluded.anchors,
        chunk_key = excluded.chunk_key"""
RESULTS = """
    SELECT start_pts, end_pts, start_overlap, end_overlap, start_s, end_s, anchors,
           key, value, sha256, created_at, expires_at
    FROM cuts JOIN cache_entries ON key = chunk_key
    WHERE file_sha256 = ? AND stream = ? AND request_sha256 = ?
      AND (expires_at IS NULL OR expires_at > (SELECT ledger_now()))
      AND created_at > (SELECT ledger_now()) - ?
    ORDER BY start_pts, end_pts DESC"""
LENGTHS = """
    SELECT file_sha256, start_s, end_s
    FROM cuts JOIN cache_entries ON key = chunk_key
    WHERE file_sha256 IN (?*) AND stream = ? AND request_sha256 = ?
    ORDER BY file_sha256, start_s"""
COUNTS = """
    SELECT request_sha256, count(*) FROM cuts
    WHERE request_sha256 IN (?*)
    GROUP BY request_sha256"""

_time_map_decoder = msgspec.json.Decoder(tuple[tuple[float, float], ...])


async def count_cuts(database: Database, request_sha256s: Sequence[str]) -> list[tuple[str, int]]:
    """How many cuts are known of each request that has any. It reads all cuts."""
    return await database.batched_rows(COUNTS, request_sha256s)


class SqlChunkIndex:
    """A `ChunkIndex` in the ledger."""

    def __init__(self, database: Database, results: SqlResultStore) -> None:
        self._database = database
        self._results = results

    async def remember(self, span: IndexedSpan) -> None:
        await self._database.write(lambda session: self.insert(session, span))

    async def results(
        self, file_sha256: str, stream: int, request_sha256: str
    ) -> list[IndexedResult]:
        row = (file_sha256, stream, request_sha256, self._results.max_age_s)
        rows = await self._database.rows(RESULTS, row)
        return [result for row in rows if (result := self._indexed(row)) is not None]

    async def covered_s(
        self, file_sha256s: Sequence[str], stream: int, request_sha256: str
    ) -> dict[str, float]:
        return _covered(
            await self._database.batched_rows(LENGTHS, file_sha256s, stream, request_sha256)
        )

    def insert(self, session: Session, indexed: IndexedSpan) -> None:
        """As `remember`, within the caller's transaction."""
        span = indexed.span
        recording = (indexed.file_sha256, indexed.stream, indexed.request_sha256)
        ends = (span.start.pts, span.end.pts, int(span.start.overlap), int(span.end.overlap))
        times = (span.start_s, span.end_s, msgspec.json.encode(span.time_map).decode())
        session.execute(REMEMBER, (*recording, *ends, *times, indexed.chunk_key))

    def _indexed(self, row: Sequence[Any]) -> IndexedResult | None:
        start_pts, end_pts, start_overlap, end_overlap, start_s, end_s, times, key, *entry = row
        value = self._results.undamaged(key, *entry)
        try:
            time_map = _time_map_decoder.decode(times)
        except msgspec.DecodeError:
            # No checksum covers it. If the span is cut again, its answer is looked up by key.
            return None
        if value is None:
            return None
        start = CutPoint(start_pts, bool(start_overlap))
        end = CutPoint(end_pts, bool(end_overlap))
        return IndexedResult(ChunkSpan(0, start, end, start_s, end_s, time_map), key, value.data)


def _covered(spans: Sequence[tuple[str, float, float]]) -> dict[str, float]:
    """Seconds under at least one span; spans are sorted by recording and start."""
    covered: defaultdict[str, float] = defaultdict(float)
    reached: defaultdict[str, float] = defaultdict(float)
    for file_sha256, start_s, end_s in spans:
        covered[file_sha256] += max(0.0, end_s - max(start_s, reached[file_sha256]))
        reached[file_sha256] = max(end_s, reached[file_sha256])
    return covered

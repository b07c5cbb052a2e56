"""Every look-up goes through an index."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sttbatch.caching import chunk_index, entry_rows
from sttbatch.database.work_ledger import LATENCIES, RECORD

from .harness import rooms

QUERIES = {
    "get": entry_rows.select_many(1),
    "get_many": entry_rows.select_many(500),
    "put": entry_rows.PUT,
    "link": entry_rows.LINK,
    "linked": entry_rows.linked(3),
    "note": entry_rows.NOTE,
    "delete": entry_rows.DELETE,
    "delete expired": entry_rows.DELETE_EXPIRED,
    "delete a model": entry_rows.DELETE_MODEL,
    "most used": entry_rows.MOST_USED,
    "kept": chunk_index.KEPT,
    "remember": chunk_index.REMEMBER,
    "kept lengths": chunk_index.kept_lengths(3),
    "request": RECORD,
    "latencies": LATENCIES,
}


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_walks_through_a_table(tmp_path: Path, name: str) -> None:
    statement = QUERIES[name]

    async def story() -> list[str]:
        async with rooms(tmp_path) as room:
            return await room.database.read(
                lambda db: [
                    row[3]
                    for row in db.execute(
                        f"EXPLAIN QUERY PLAN {statement}", ["x"] * statement.count("?")
                    )
                ]
            )

    plan = asyncio.run(story())
    for step in plan:
        assert "INDEX" in step or "PRIMARY KEY" in step or not step.startswith("SCAN"), plan


def test_the_latest_answers_are_found_without_sorting(tmp_path: Path) -> None:
    async def story() -> list[str]:
        async with rooms(tmp_path) as room:
            return await room.database.read(
                lambda db: [
                    row[3]
                    for row in db.execute(f"EXPLAIN QUERY PLAN {LATENCIES}", ("local", "m", 200))
                ]
            )

    (step,) = asyncio.run(story())
    assert step.startswith("SEARCH requests USING INDEX requests_answered (engine=? AND model=?)")


def test_the_disk_level_looks_up_by_index(tmp_path: Path) -> None:
    from sttbatch.caching.levels import CacheValue

    async def story() -> None:
        async with rooms(tmp_path) as room:
            await room.disk.put_many({"chunk:1": CacheValue(b"")})
            with room.disk._connection() as db:
                for statement in (
                    "SELECT value FROM Cache WHERE key = ? AND raw = 1",
                    "DELETE FROM Cache WHERE key = ? AND raw = 1",
                ):
                    (step,) = db.execute(f"EXPLAIN QUERY PLAN {statement}", ["x"])
                    assert "INDEX Cache_key_raw" in step[3]

    asyncio.run(story())

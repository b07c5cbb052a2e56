"""Every look-up goes through an index."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sttbatch.database import chunk_index, files, outputs, results
from sttbatch.database.database import expand
from sttbatch.database.store_facts import Scan
from sttbatch.database.work_ledger import LATENCIES, RECORD
from tests.database.backends import Backend
from tests.database.statements import values

from .harness import harness

QUERIES = {
    "get": expand(results.GET, 1),
    "get many": expand(results.GET, 500),
    "present": expand(results.PRESENT, 500),
    "put": results.PUT,
    "link": results.LINK,
    "linked": expand(results.KEYS_OF_FILES, 3),
    "count reads": results.COUNT_READS,
    "delete": results.DELETE,
    "delete expired": results.DELETE_EXPIRED,
    "delete a model": results.DELETE_MODEL,
    "most used": results.MOST_USED,
    "stored spans": chunk_index.RESULTS,
    "remember a span": chunk_index.REMEMBER,
    "lengths of spans": expand(chunk_index.LENGTHS, 3),
    "files": expand(files.RECORDS, 3),
    "remember a file": files.REMEMBER,
    "digests of outputs": expand(outputs.DIGESTS, 5),
    "own an output": outputs.OWN,
    "states of outputs": expand(outputs.STATES, 3),
    "remember a state": outputs.REMEMBER_STATE,
    "request": RECORD,
    "latencies": LATENCIES,
}


def test_no_query_walks_through_a_table(backend: Backend, tmp_path: Path) -> None:
    async def story() -> dict[str, list[Scan]]:
        async with harness(tmp_path, backend=backend) as state:
            return {
                name: await backend.scans(state.database, text, values(text))
                for name, text in QUERIES.items()
            }

    found = asyncio.run(story())
    assert {name for name, scans in found.items() if any(not each.index for each in scans)} == set()


def test_the_latest_answers_are_found_without_sorting(backend: Backend, tmp_path: Path) -> None:
    async def story() -> list[Scan]:
        async with harness(tmp_path, backend=backend) as state:
            return await backend.scans(state.database, LATENCIES, ("local", "m", 200))

    assert asyncio.run(story()) == [Scan("requests", "requests_answered")]


def test_the_disk_level_looks_up_by_index(tmp_path: Path) -> None:
    from sttbatch.caching.disk_level import DiskLevel
    from sttbatch.core.cache_entries import CacheValue

    async def story() -> None:
        async with harness(tmp_path) as state:
            await state.l2.put_many({"chunk:1": CacheValue(b"")})
            assert isinstance(state.l2, DiskLevel)
            with state.l2._connection() as db:
                for statement in (
                    "SELECT value FROM Cache WHERE key = ? AND raw = 1",
                    "DELETE FROM Cache WHERE key = ? AND raw = 1",
                ):
                    (step,) = db.execute(f"EXPLAIN QUERY PLAN {statement}", ["x"])
                    assert "INDEX Cache_key_raw" in step[3]

    asyncio.run(story())

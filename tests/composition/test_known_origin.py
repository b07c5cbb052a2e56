"""Results that an earlier version stored under one name of this machine are found under all."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.known_origin import at_known_origin
from sttbatch.composition.settings import Settings
from sttbatch.core.models import MIXED, ChunkSpan, CutPoint
from sttbatch.core.work import IndexedSpan
from sttbatch.database.chunk_index import SqlChunkIndex
from sttbatch.database.opening import open_ledger
from sttbatch.database.results import SqlResultStore

NAMES = ("127.0.0.1", "localhost", "[::1]")


def origin_found(folder: Path, url: str, stored: str | None, channel: int = MIXED) -> str:
    """The origin of a run over a ledger with one chunk stored under another one."""
    config = run_config_of(Settings(base_url=url))

    async def story() -> str:
        with contextlib.closing(open_ledger(folder)) as database:
            if stored is not None:
                request = replace(config.request, origin=stored)
                cut = ContentAddresser(request).cut_sha256(channel)
                span = ChunkSpan(0, CutPoint(0), CutPoint(9), 0.0, 9.0, ((0.0, 0.0),), channel)
                index = SqlChunkIndex(database, SqlResultStore(database))
                await index.remember(IndexedSpan("f" * 64, 0, cut, span, "chunk:x"))
            return (await at_known_origin(config, database)).request.origin

    return asyncio.run(story())


@pytest.mark.parametrize("asked", NAMES)
@pytest.mark.parametrize("stored", NAMES)
@pytest.mark.parametrize("channel", [MIXED, 1])
def test_what_is_stored_under_any_name_is_found(
    tmp_path: Path, asked: str, stored: str, channel: int
) -> None:
    found = origin_found(tmp_path, f"http://{asked}:8000/v1", f"http://{stored}:8000", channel)
    assert found == f"http://{stored}:8000"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://localhost:8000/v1", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://127.0.0.1:8000"),
        ("http://LOCALHOST/v1", "http://127.0.0.1"),
        ("https://localhost:8000/v1", "https://localhost:8000"),
        ("https://Example.org:443/v1", "https://Example.org:443"),
    ],
)
def test_origins_of_nothing_stored(tmp_path: Path, url: str, origin: str) -> None:
    """Those of https stay what they are, however they are written."""
    assert origin_found(tmp_path, url, None) == origin


def test_another_port_is_another_origin(tmp_path: Path) -> None:
    found = origin_found(tmp_path, "http://localhost:8001", "http://localhost:8000")
    assert found == "http://127.0.0.1:8001"

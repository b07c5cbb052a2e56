"""FetchedObjects over moto's server: what is on the disk, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from sttbatch.core.locations import ObjectUrl
from sttbatch.core.ports import ObjectFacts
from sttbatch.external.objects.s3_store import S3Store
from sttbatch.kinds.transcription.fetched_objects import MOST_FILES, FetchedObjects
from tests.object_server import ObjectServer


@pytest.fixture
def store(shared_objects: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    for name, value in shared_objects.environment.items():
        monkeypatch.setenv(name, value)
    return S3Store(shared_objects.endpoint)


def put(store: S3Store, client: Any, bucket: str, count: int) -> list[ObjectFacts]:
    client.create_bucket(Bucket=bucket)
    for number in range(count):
        client.put_object(Bucket=bucket, Key=f"{number}.mp3", Body=bytes([number]))
    return list(store.list(ObjectUrl(f"s3://{bucket}/")))


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def test_a_file_is_shared_and_remains_until_it_is_forgotten(
    store: S3Store, shared_objects: ObjectServer, tmp_path: Path
) -> None:
    with shared_objects.client() as client:
        (facts,) = put(store, client, "shared-file", 1)

    async def use() -> None:
        fetched = FetchedObjects(lambda: store, tmp_path)
        async with fetched.held(facts) as cut, fetched.held_at_once(facts) as measured:
            assert cut == measured
        async with fetched.held_at_once(facts) as again:
            fetched.forget(facts)
            # It is still read.
            assert again.path.read_bytes() == b"\0"

    asyncio.run(use())
    assert files_in(tmp_path) == []
    assert len(shared_objects.requests("GET", "shared-file")) == 1


def test_there_are_never_more_files_than_places(
    store: S3Store, shared_objects: ObjectServer, tmp_path: Path
) -> None:
    with shared_objects.client() as client:
        objects = put(store, client, "three-places", 3 * MOST_FILES)

    async def use() -> None:
        fetched = FetchedObjects(lambda: store, tmp_path)

        async def cut(facts: ObjectFacts) -> None:
            async with fetched.held(facts) as file:
                assert file.path.read_bytes() == bytes([int(facts.url.name[0])])
                assert len(files_in(tmp_path)) <= MOST_FILES

        await asyncio.gather(*map(cut, objects))
        async with contextlib.AsyncExitStack() as all_places:
            for facts in objects[:MOST_FILES]:
                await all_places.enter_async_context(fetched.held(facts))
            # Gap repair may not wait for those who wait for it.
            async with fetched.held_at_once(objects[-1]) as file:
                assert file.path.read_bytes() == bytes([len(objects) - 1])

    asyncio.run(use())

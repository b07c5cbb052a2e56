"""Buckets for tests of object storage."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.object_server import ObjectServer


@pytest.fixture
def client(shared_objects: ObjectServer) -> Iterator[Any]:
    with shared_objects.client() as found:
        yield found


@pytest.fixture
def bucket(client: Any) -> str:
    name = f"b-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture(autouse=True)
def _keys(shared_objects: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shared_objects.environment.items():
        monkeypatch.setenv(name, value)

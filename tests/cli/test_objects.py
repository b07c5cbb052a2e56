"""Recordings and outputs in object storage, as their users meet them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import CloudRu, HeardWord, make_recording
from tests.object_server import SECRET, ObjectServer
from tests.shell import Result, Shell, texts


@pytest.fixture
def bucket(shared_objects: ObjectServer, client: Any) -> str:
    del shared_objects
    name = f"b-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def client(shared_objects: ObjectServer) -> Iterator[Any]:
    with shared_objects.client() as found:
        yield found


@pytest.fixture
def with_objects(shell: Shell, shared_objects: ObjectServer) -> Shell:
    shell.extra |= shared_objects.environment
    return shell


@pytest.fixture
def talk(tmp_path: Path) -> tuple[bytes, list[HeardWord]]:
    path = tmp_path / "made.wav"
    truth = make_recording(path, duration_s=11, sample_rate=8_000, channels=1)
    return path.read_bytes(), truth


def another(tmp_path: Path, number: int) -> tuple[bytes, list[HeardWord]]:
    path = tmp_path / f"made-{number}.wav"
    truth = make_recording(
        path, duration_s=11, sample_rate=8_000, channels=1, first_word=100 * number
    )
    return path.read_bytes(), truth


def read(client: Any, bucket: str, key: str) -> bytes:
    return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())


def words(content: bytes) -> list[str]:
    text: str = json.loads(content)["text"]
    return text.split()


def keys(client: Any, bucket: str) -> list[str]:
    return [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", ())]


def transcribe(shell: Shell, *arguments: str | Path) -> Result:
    result = shell.transcribe(*arguments)
    assert SECRET not in result.out + result.err
    assert "Traceback" not in result.err
    return result


def test_recordings_and_outputs_are_objects_and_a_second_run_fetches_nothing(
    with_objects: Shell,
    cloudru: CloudRu,
    shared_objects: ObjectServer,
    client: Any,
    bucket: str,
    talk: tuple[bytes, list[HeardWord]],
) -> None:
    shell, url = with_objects, f"s3://{bucket}/talks"
    client.put_object(Bucket=bucket, Key="talks/a/talk.wav", Body=talk[0])
    client.put_object(Bucket=bucket, Key="talks/notes.md", Body=b"notes")
    first = transcribe(shell, url)
    assert first.code == 0, first.err
    assert first.out == f"{url}/a/talk.txt\n"
    assert shared_objects.requests("GET", bucket) == [f"/{bucket}/talks/a/talk.wav"]
    found = read(client, bucket, "talks/a/talk.json")
    assert words(found) == texts(talk[1])
    assert json.loads(found)["source"] == f"{url}/a/talk.wav"
    assert read(client, bucket, "talks/a/talk.txt").decode().split() == texts(talk[1])
    sent, got = len(cloudru.received), len(shared_objects.requests("GET", bucket))
    put = len(shared_objects.requests("PUT", bucket))
    again = transcribe(shell, url)
    assert (again.code, again.out) == (0, first.out)
    assert len(cloudru.received) == sent
    assert len(shared_objects.requests("GET", bucket)) == got
    assert len(shared_objects.requests("PUT", bucket)) == put
    assert not list((shell.home / "data" / "spool").glob("run-*"))

"""S3Store over moto's server, and over a proxy that breaks and refuses."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from email.message import Message
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from sttbatch.core.errors import ObjectRefused, ObjectsUnreachable, RecordingError, Stopped
from sttbatch.core.locations import ObjectUrl
from sttbatch.core.ports import ObjectFacts
from sttbatch.external.objects.s3_store import S3Store
from tests.object_server import SECRET, ObjectServer, proxy

# moto refuses a newline, which S3 itself allows.
ODD = (
    "a//b.mp3",
    "../c.mp3",
    "./c.mp3",
    "a/./b.mp3",
    "e/../f.mp3",
    "/lead.mp3",
    "control-\x01-\x1f.mp3",
    "%2F?x=y#z+ .mp3",
    "запись.mp3",
    "k" * 1020 + ".mp3",
)


def never() -> bool:
    return False


def url(bucket: str, key: str) -> ObjectUrl:
    return ObjectUrl(f"s3://{bucket}/{key}")


def facts_of(store: S3Store, bucket: str, key: str) -> ObjectFacts:
    found = store.facts(url(bucket, key))
    assert found is not None
    return found


def test_any_key_is_listed_read_and_written(
    shared_objects: ObjectServer, client: Any, bucket: str, tmp_path: Path
) -> None:
    store = S3Store(shared_objects.endpoint)
    for number, key in enumerate(ODD):
        if number % 2:
            client.put_object(Bucket=bucket, Key=key, Body=key.encode())
        else:
            assert store.put(url(bucket, key), BytesIO(key.encode()), None)
    listed = {facts.url.key: facts for facts in store.list(url(bucket, ""))}
    assert set(listed) == set(ODD)
    for number, (key, facts) in enumerate(listed.items()):
        assert store.facts(facts.url) == facts
        sha256 = store.fetch(facts, tmp_path / str(number), never)
        assert (tmp_path / str(number)).read_bytes() == key.encode()
        assert sha256 == hashlib.sha256(key.encode()).hexdigest()


def test_a_broken_connection_is_resumed(
    shared_objects: ObjectServer, client: Any, bucket: str, tmp_path: Path
) -> None:
    content = os.urandom(3_000_000)
    client.put_object(Bucket=bucket, Key="talk.mp3", Body=content)
    with proxy(shared_objects, breaks_after=[2_000_000, 500_000]) as between:
        store = S3Store(between.endpoint)
        facts = facts_of(store, bucket, "talk.mp3")
        sha256 = store.fetch(facts, tmp_path / "talk", never)
        first, *others = between.ranges
        assert first is None
        assert len(others) == 2
        assert all(each is not None and int(each[6:-1]) >= 1_000_000 for each in others)
    assert (tmp_path / "talk").read_bytes() == content
    assert sha256 == hashlib.sha256(content).hexdigest()


def test_an_object_that_changes_is_not_fetched(
    shared_objects: ObjectServer, client: Any, bucket: str, tmp_path: Path
) -> None:
    client.put_object(Bucket=bucket, Key="talk.mp3", Body=b"before")
    store = S3Store(shared_objects.endpoint)
    facts = facts_of(store, bucket, "talk.mp3")
    client.put_object(Bucket=bucket, Key="talk.mp3", Body=b"after!")
    with pytest.raises(RecordingError, match="it changed"):
        store.fetch(facts, tmp_path / "talk", never)
    assert store.read(facts) is None
    with pytest.raises(Stopped):
        store.fetch(facts_of(store, bucket, "talk.mp3"), tmp_path / "again", lambda: True)


def refuse_conditions(_: str, headers: Message) -> tuple[int, bytes] | None:
    if headers.get("If-None-Match") is None and headers.get("If-Match") is None:
        return None
    return 501, b"<Error><Code>NotImplemented</Code></Error>"


@pytest.mark.parametrize("conditional", [True, False])
def test_an_object_is_written_in_place_of_what_was_seen(
    shared_objects: ObjectServer, client: Any, bucket: str, conditional: bool
) -> None:
    def refuses(method: str, headers: Message) -> tuple[int, bytes] | None:
        return None if conditional or method != "PUT" else refuse_conditions(method, headers)

    with proxy(shared_objects, refuses=refuses) as between:
        store, place = S3Store(between.endpoint), url(bucket, "talk.json")
        assert store.put(place, BytesIO(b"one"), None)
        assert not store.put(place, BytesIO(b"two"), None)
        one = facts_of(store, bucket, "talk.json")
        assert store.put(place, BytesIO(b"two"), one)
        assert not store.put(place, BytesIO(b"three"), one)
        two = facts_of(store, bucket, "talk.json")
        client.delete_object(Bucket=bucket, Key="talk.json")
        assert not store.put(place, BytesIO(b"three"), two)
        assert store.conditional is (None if conditional else False)


def test_a_file_is_written_from_its_start_and_its_digest_is_read(
    shared_objects: ObjectServer, client: Any, bucket: str, tmp_path: Path
) -> None:
    store, place = S3Store(shared_objects.endpoint), url(bucket, "talk.json")
    content = os.urandom(3 << 20)
    (tmp_path / "content").write_bytes(content)
    with (tmp_path / "content").open("rb") as file:
        file.seek(5)
        assert store.put(place, file, None)
    facts = facts_of(store, bucket, "talk.json")
    assert store.sha256(facts) == hashlib.sha256(content).hexdigest()
    client.put_object(Bucket=bucket, Key="talk.json", Body=b"theirs")
    assert store.sha256(facts) is None


def test_another_writer_is_noticed(shared_objects: ObjectServer, client: Any, bucket: str) -> None:
    def write() -> None:
        client.put_object(Bucket=bucket, Key="talk.json", Body=b"theirs")

    with proxy(shared_objects, before_put=write) as between:
        assert not S3Store(between.endpoint).put(url(bucket, "talk.json"), BytesIO(b"ours"), None)
    assert client.get_object(Bucket=bucket, Key="talk.json")["Body"].read() == b"theirs"


def refused(status: int, code: str) -> Any:
    body = f"<Error><Code>{code}</Code><AWSAccessKeyId>a-key-canary</AWSAccessKeyId></Error>"
    return lambda _method, _headers: (status, body.encode())


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (403, "InvalidAccessKeyId", "does not know the key"),
        (403, "SignatureDoesNotMatch", "secret does not belong"),
        (403, "AccessDenied", "may not do that"),
        (404, "NoSuchBucket", "no such bucket"),
        (418, "Teapot", "answers Teapot"),
        (404, "", "answers 404"),
    ],
)
def test_refusals_say_what_to_do_and_no_secret(
    shared_objects: ObjectServer, status: int, code: str, advice: str
) -> None:
    with proxy(shared_objects, refuses=refused(status, code)) as between:
        store = S3Store(between.endpoint)
        with pytest.raises(ObjectRefused, match=advice) as raised:
            list(store.list(url("bucket", "talks")))
    assert "s3://bucket/talks" in str(raised.value)
    assert "canary" not in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    # Nobody listens on port 1, and no proxy is asked.
    with pytest.raises(ObjectsUnreachable, match="does not answer"):
        S3Store("http://127.0.0.1:1").facts(url(bucket, "talk.mp3"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(ObjectRefused, match="AWS_ACCESS_KEY_ID"):
        S3Store("http://127.0.0.1:1").facts(url(bucket, "talk.mp3"))


def listing(keys: int, page: int) -> Any:
    """Answers listings with pages of `page` keys up to `keys`, by the number in the token."""
    pages = iter(range(0, keys, page))

    def answer(_method: str, _headers: Message) -> tuple[int, bytes]:
        begin = next(pages)
        entries = "".join(
            f"<Contents><Key>talks/{number:06}.mp3</Key><Size>1</Size><ETag>&quot;e&quot;</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for number in range(begin, min(begin + page, keys))
        )
        more = begin + page < keys
        token = f"<NextContinuationToken>{begin}</NextContinuationToken>" if more else ""
        truncated = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}"
        return 200, f"<ListBucketResult>{truncated}{entries}</ListBucketResult>".encode()

    return answer


@pytest.mark.slow
def test_a_large_bucket_is_listed_in_the_memory_of_a_page(
    shared_objects: ObjectServer,
) -> None:
    peaks = []
    for keys in (5_000, 20_000):
        with proxy(shared_objects, refuses=listing(keys, 1_000)) as between:
            store = S3Store(between.endpoint)
            listed = store.list(url("bucket", "talks/"))
            next(listed)
            tracemalloc.start()
            assert sum(1 for _ in listed) == keys - 1
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]

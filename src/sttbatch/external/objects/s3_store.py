"""S3Store: an `ObjectStore` over boto3."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.handlers import add_expect_header

from sttbatch.core.errors import Hindered, RecordingError, Stopped
from sttbatch.core.locations import ObjectUrl
from sttbatch.core.ports.objects import ObjectFacts
from sttbatch.external.objects.s3_errors import code_of, explained, status_of

T = TypeVar("T")

_BLOCK_BYTES = 1 << 20
_BREAKS = 8
"""How often in a row a connection may break without a further byte."""

_BREAK_WAIT_S = 0.2

_CONTENT_TYPES = {
    "txt": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "rttm": "text/plain; charset=utf-8",
}

_CHANGED = frozenset({404, 409, 412})
"""Statuses of a conditional request that found another object, none, or a concurrent write."""

_NO_CONDITIONS = frozenset({400, 501})
"""Statuses with which stores refuse conditions that they do not know."""


class S3Store:
    """Objects of one endpoint; keys are found by boto's usual variables, files and profiles.

    Args:
        endpoint: its address; None: boto's, which is that of AWS.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint
        self._made = threading.Lock()
        self._made_client: Any = None
        # None: not known yet.
        self.conditional: bool | None = None

    @property
    def _client(self) -> Any:
        with self._made, explained("", self._endpoint):
            if self._made_client is None:
                # Many compatible stores refuse the checksums that boto adds by default.
                config = Config(
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    retries={"mode": "standard", "max_attempts": 4},
                    connect_timeout=10,
                    read_timeout=60,
                    max_pool_connections=32,
                )
                client = boto3.session.Session().client(
                    "s3", endpoint_url=self._endpoint, config=config
                )
                # With it, each file that is sent waits a second for stores that do not answer it.
                client.meta.events.unregister("before-call.s3", add_expect_header)
                self._made_client = client
            return self._made_client

    def list(self, prefix: ObjectUrl) -> Iterator[ObjectFacts]:
        # boto asks for URL-encoded keys, and decodes them: XML has no control characters.
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=prefix.bucket, Prefix=prefix.key
        )
        with explained(str(prefix), self._endpoint):
            for page in pages:
                for entry in page.get("Contents", ()):
                    url = ObjectUrl(f"s3://{prefix.bucket}/{entry['Key']}")
                    yield _facts(url, entry["Size"], entry)

    def facts(self, url: ObjectUrl) -> ObjectFacts | None:
        with explained(str(url), self._endpoint):
            try:
                answer = self._client.head_object(Bucket=url.bucket, Key=url.key)
            except ClientError as error:
                # A missing bucket has the same status and no code, as the answer has no body.
                if status_of(error) != 404:
                    raise
                return None
            return _facts(url, answer["ContentLength"], answer)

    def fetch(self, facts: ObjectFacts, path: Path, stopping: Callable[[], bool]) -> str:
        digest, breaks, done = hashlib.sha256(), 0, 0
        with _new_file(path) as file, explained("", self._endpoint):
            while done < facts.size_bytes:
                try:
                    for block in self._blocks(facts, done):
                        if stopping():
                            raise Stopped("the run ended while it was fetched")
                        file.write(block)
                        digest.update(block)
                        done += len(block)
                        breaks = 0
                except (HTTPClientError, BotoConnectionError):
                    breaks += 1
                    if breaks > _BREAKS:
                        raise
                    time.sleep(_BREAK_WAIT_S * breaks)
        if done != facts.size_bytes:
            raise RecordingError(
                f"it has {done} bytes where {facts.size_bytes} were listed; run again"
            )
        return digest.hexdigest()

    def _blocks(self, facts: ObjectFacts, begin: int) -> Iterator[bytes]:
        """The content from an offset to the end, or to where the connection breaks."""
        span = {"Range": f"bytes={begin}-"} if begin else {}
        try:
            answer = self._client.get_object(
                Bucket=facts.url.bucket, Key=facts.url.key, IfMatch=facts.etag, **span
            )
        except ClientError as error:
            if status_of(error) in _CHANGED:
                raise RecordingError("it changed since it was listed; run again") from None
            raise
        if answer["ETag"] != facts.etag:
            raise RecordingError("it changed since it was listed; run again")
        skipped = begin if status_of(answer) == 200 else 0
        with answer["Body"] as body:
            while block := body.read(_BLOCK_BYTES):
                # A store without ranges sends everything again.
                kept = block[skipped:]
                skipped -= len(block) - len(kept)
                yield kept

    def read(self, facts: ObjectFacts) -> bytes | None:
        return self._of_body(facts, lambda body: bytes(body.read()))

    def sha256(self, facts: ObjectFacts) -> str | None:
        digest = hashlib.sha256()

        def add_all(body: Any) -> str:
            while block := body.read(_BLOCK_BYTES):
                digest.update(block)
            return digest.hexdigest()

        return self._of_body(facts, add_all)

    def _of_body(self, facts: ObjectFacts, work: Callable[[Any], T]) -> T | None:
        """What `work` makes of an object's body; None: it has changed or is gone."""
        with explained(str(facts.url), self._endpoint):
            try:
                answer = self._client.get_object(
                    Bucket=facts.url.bucket, Key=facts.url.key, IfMatch=facts.etag
                )
            except ClientError as error:
                if status_of(error) in _CHANGED:
                    return None
                raise
            with answer["Body"] as body:
                return work(body)

    def put(self, url: ObjectUrl, content: IO[bytes], replaces: ObjectFacts | None) -> bool:
        condition = {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": replaces.etag}
        with explained(str(url), self._endpoint, writes=True):
            if self.conditional is not False:
                try:
                    self._put(url, content, condition)
                except ClientError as error:
                    if status_of(error) in _CHANGED and code_of(error) != "NoSuchBucket":
                        return False
                    if status_of(error) not in _NO_CONDITIONS or not _is_about(error):
                        raise
                    self.conditional = False
                else:
                    return True
            # Not atomic, but all that such a store can do.
            seen = self.facts(url)
            if (seen and seen.etag) != (replaces and replaces.etag):
                return False
            self._put(url, content, {})
            return True

    def describe(self) -> str:
        """Say which endpoint takes the key; raises as all methods do."""
        where = self._endpoint or "the default endpoint"
        with explained("", self._endpoint):
            try:
                count = len(self._client.list_buckets().get("Buckets", ()))
            except ClientError as error:
                # Keys are often for certain buckets only.
                if code_of(error) != "AccessDenied":
                    raise
                return f"{where} answers; the key may not list buckets"
        return f"{where} takes the key, which may list {count} bucket{'' if count == 1 else 's'}"

    def probe(self, prefix: ObjectUrl) -> str:
        """Say how safely outputs are written below `prefix`, where an object is left for no time.

        Raises as all methods do.
        """
        folder = str(prefix).rstrip("/")
        url = ObjectUrl(f"{folder}/.sttbatch-{secrets.token_hex(8)}.probe")
        self.put(url, BytesIO(), None)
        try:
            if self.conditional is not False and not self.put(url, BytesIO(), None):
                return f"{folder} can be written, and supports conditional writes"
        finally:
            with explained(str(url), self._endpoint, writes=True):
                self._client.delete_object(Bucket=url.bucket, Key=url.key)
        return (
            f"{folder} can be written, but without conditional writes: what others write "
            "at that moment may be replaced"
        )

    def _put(self, url: ObjectUrl, content: IO[bytes], condition: dict[str, str]) -> None:
        content.seek(0)
        kind = _CONTENT_TYPES.get(url.suffix[1:], "application/octet-stream")
        self._client.put_object(
            Bucket=url.bucket, Key=url.key, Body=content, ContentType=kind, **condition
        )


def _is_about(error: ClientError) -> bool:
    """Whether a refusal may be about a condition, and not about the key or the signature."""
    codes = {"NotImplemented", "InvalidArgument", "InvalidRequest", "BadRequest", "400", "501"}
    return code_of(error) in codes


def _facts(url: ObjectUrl, size_bytes: int, entry: dict[str, Any]) -> ObjectFacts:
    # In whole seconds, as HTTP's headers have them; some listings have milliseconds.
    modified_ns = int(entry["LastModified"].timestamp()) * 1_000_000_000
    return ObjectFacts(url, size_bytes, entry.get("ETag", ""), modified_ns)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("xb") as file:
            yield file
    except OSError as error:
        raise Hindered(f"it cannot be fetched to {path}: {error.strerror or error}") from error

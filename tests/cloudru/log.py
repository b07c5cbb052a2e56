"""What the endpoint saw: one record for each POST, and a way to wait for the next one."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .models import Asked


@dataclass(frozen=True, slots=True)
class Received:
    """One POST as far as the endpoint knows it; later copies know more.

    Times ending in `_at_s` are seconds on `time.monotonic`. Never holds the key that was sent.
    """

    number: int
    arrived_at_s: float
    http_version: str
    """"2" or "1.1"."""
    connection: int
    """Number of the connection, from 1 on."""
    open_on_connection: int
    """Requests open on that connection when this one arrived, itself included."""
    open_in_all: int
    """Requests open on all connections when this one arrived, itself included."""
    authorised: bool
    idempotency_key: str = ""
    attempt: int = 0
    """How many posts came before with the same Idempotency-Key (without the header: the same file,
    and as long as the file is not read: the same Content-Length)."""
    content_length: int | None = None
    user_agent: str = ""
    body_read_at_s: float | None = None
    answered_at_s: float | None = None
    model: str = ""
    language: str = ""
    prompt: str = ""
    response_format: str = ""
    temperature: str = ""
    granularities: tuple[str, ...] = ()
    filename: str = ""
    content_type: str = ""
    """Of the file's part of the form."""
    body_bytes: int = 0
    file_bytes: int = 0
    file_sha256: str = ""
    audio_s: float = 0.0
    words: tuple[str, ...] = ()
    """The words that the upload says, also when the answer does not tell."""
    path: str = "/v1/audio/transcriptions"
    texts: tuple[str, ...] = ()
    """Whose embeddings were asked for."""
    asked: Asked | None = None
    """The question of a chat completion."""
    status: int | None = None
    fault: str = ""
    client_left: bool = False
    """The client went away before it was answered."""
    over: bool = False
    """Nothing more will happen to this request."""
    file: bytes | None = field(default=None, repr=False)
    """The upload itself, with `keep_bodies` alone."""


class Log:
    """All records in order of arrival. Written by the server's loop, read by any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._records: list[Received] = []
        self._attempts: Counter[str] = Counter()
        self._open: Counter[int] = Counter()
        self.connections_opened = 0
        self.connections_open = 0
        self.max_in_flight = 0
        self.models_asked = 0
        self.errors: list[str] = []

    @property
    def records(self) -> list[Received]:
        """A copy of the newest state of each record."""
        with self._changed:
            return list(self._records)

    @property
    def in_flight(self) -> int:
        """POSTs that have arrived and are not over."""
        with self._changed:
            return self._open.total()

    def connection_opened(self) -> int:
        """Number of the new connection."""
        with self._changed:
            self.connections_opened += 1
            self.connections_open += 1
            self._changed.notify_all()
            return self.connections_opened

    def connection_closed(self) -> None:
        with self._changed:
            self.connections_open -= 1
            self._changed.notify_all()

    def arrived(
        self,
        *,
        http_version: str,
        connection: int,
        authorised: bool,
        idempotency_key: str,
        content_length: int | None,
        user_agent: str,
        path: str,
    ) -> Received:
        """Begin a record, at the request's headers."""
        with self._changed:
            self._open[connection] += 1
            record = Received(
                number=len(self._records),
                arrived_at_s=time.monotonic(),
                http_version=http_version,
                connection=connection,
                open_on_connection=self._open[connection],
                open_in_all=self._open.total(),
                authorised=authorised,
                idempotency_key=idempotency_key,
                attempt=self._count(f"key {idempotency_key}" if idempotency_key else ""),
                content_length=content_length,
                user_agent=user_agent,
                path=path,
            )
            if not idempotency_key:
                record = replace(record, attempt=self._count(f"length {content_length}"))
            self.max_in_flight = max(self.max_in_flight, record.open_in_all)
            self._records.append(record)
            self._changed.notify_all()
            return record

    def update(self, record: Received) -> Received:
        """Store a newer state of a record."""
        with self._changed:
            if record.file_sha256 and not record.idempotency_key:
                before = self._records[record.number]
                if not before.file_sha256:
                    record = replace(record, attempt=self._count(f"file {record.file_sha256}"))
            self._records[record.number] = record
            self._changed.notify_all()
            return record

    def over(self, record: Received) -> None:
        """The request is over, answered or not."""
        with self._changed:
            self._open[record.connection] -= 1
            self._records[record.number] = replace(self._records[record.number], over=True)
            self._changed.notify_all()

    def failed(self, description: str) -> None:
        """Note a mistake of the endpoint itself, which tests should not pass over."""
        with self._changed:
            self.errors.append(description)
            self._changed.notify_all()

    def wait_for(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Block until `holds()`, looked at after each change; whether it came to hold."""
        with self._changed:
            return self._changed.wait_for(holds, timeout_s)

    def _count(self, identity: str) -> int:
        if not identity:
            return 0
        self._attempts[identity] += 1
        return self._attempts[identity] - 1

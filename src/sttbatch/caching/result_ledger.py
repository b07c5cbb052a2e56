"""L3: what was paid for, in the ledger; the authority, sufficient alone."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from sttbatch.core.engine import Post
from sttbatch.core.models import Boundary, Stretch, Transcript, Transcription
from sttbatch.core.options import RequestOptions
from sttbatch.database.database import Database

_T = TypeVar("_T")


class StoredChunk(msgspec.Struct, frozen=True):
    """A chunk's value; times are the upload's."""

    heard: Transcription
    upload_codec: str
    response_format: str


@dataclass(frozen=True, slots=True)
class KeptStretch:
    """A stretch that already has its words."""

    stretch: Stretch
    chunk_key: str
    value: StoredChunk


_chunk_decoder = msgspec.json.Decoder(StoredChunk)
_transcript_decoder = msgspec.json.Decoder(Transcript)
_anchors_decoder = msgspec.json.Decoder(tuple[tuple[float, float], ...])


class ResultLedger:
    """Results and posts of one engine and request; every write is on disk when it returns."""

    def __init__(
        self, database: Database, options: RequestOptions, price_per_second: float
    ) -> None:
        self._database = database
        self._options = options
        self._price = price_per_second

    async def chunk(self, key: str) -> StoredChunk | None:
        """A chunk's stored answer; a damaged one is a miss."""
        value = await self._database.read(lambda db: _get(db, key))
        return _decoded(_chunk_decoder, value)

    async def transcript(self, key: str) -> Transcript | None:
        value = await self._database.read(lambda db: _get(db, key))
        return _decoded(_transcript_decoder, value)

    async def store_chunk(self, key: str, value: StoredChunk, post: Post) -> None:
        """The answer and the post that brought it, in one transaction."""
        data = msgspec.json.encode(value)

        def write(db: sqlite3.Connection) -> None:
            self._put(db, key, data, post.audio_s)
            self._insert_post(db, key, post)

        await self._database.write(write)

    async def store_joined(self, key: str, value: StoredChunk, audio_s: float) -> None:
        """An answer joined from pieces whose posts are recorded."""
        data = msgspec.json.encode(value)
        await self._database.write(lambda db: self._put(db, key, data, audio_s))

    async def store_transcript(self, key: str, transcript: Transcript) -> None:
        data = msgspec.json.encode(transcript)
        await self._database.write(lambda db: self._put(db, key, data, transcript.duration_s))

    async def record_post(self, key: str, post: Post) -> None:
        """A post that brought no answer."""
        await self._database.write(lambda db: self._insert_post(db, key, post))

    async def remember_cut(
        self, file_sha256: str, stream: int, request_sha256: str, stretch: Stretch, key: str
    ) -> None:
        """Where a recording was cut, so that a later run keeps what has its words."""
        row = (
            file_sha256,
            stream,
            request_sha256,
            stretch.start.pts,
            stretch.end.pts,
            stretch.start.overlap,
            stretch.end.overlap,
            stretch.start_s,
            stretch.end_s,
            msgspec.json.encode(stretch.anchors).decode(),
            key,
        )
        await self._database.write(
            lambda db: db.execute(
                "INSERT OR REPLACE INTO cuts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row
            )
        )

    async def kept(
        self, file_sha256: str, stream: int, request_sha256: str
    ) -> tuple[KeptStretch, ...]:
        """The stretches of a recording that have their words: in order, and apart."""
        rows = await self._database.read(
            lambda db: db.execute(
                """SELECT start_pts, end_pts, start_overlap, end_overlap, start_s, end_s,
                          anchors, key, value, sha256
                   FROM cuts JOIN cache_entries ON key = chunk_key
                   WHERE file_sha256 = ? AND stream = ? AND request_sha256 = ?
                   ORDER BY start_pts, end_pts DESC""",
                (file_sha256, stream, request_sha256),
            ).fetchall()
        )
        found = [each for row in rows if (each := _kept(row)) is not None]
        return _apart(found)

    def _put(self, db: sqlite3.Connection, key: str, data: bytes, audio_s: float) -> None:
        engine, model = self._options.engine, self._options.model
        db.execute(
            "INSERT OR REPLACE INTO cache_entries VALUES (?, ?, ?, ?, ?, ?, ?)",
            (key, data, _seal(key, data), engine, model, audio_s, time.time()),
        )

    def _insert_post(self, db: sqlite3.Connection, key: str, post: Post) -> None:
        cost = post.audio_s * self._price if post.paid or post.maybe_paid else 0.0
        db.execute(
            """INSERT INTO requests (at, chunk_key, engine, model, attempt, status, error,
                                     request_id, latency_s, audio_s, sent_bytes, cost, maybe_paid)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                post.at,
                key,
                self._options.engine,
                self._options.model,
                post.attempt,
                post.status,
                post.error,
                post.request_id,
                post.latency_s,
                post.audio_s,
                post.sent_bytes,
                cost,
                post.maybe_paid,
            ),
        )


def _seal(key: str, data: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + data).digest()


def _get(db: sqlite3.Connection, key: str) -> bytes | None:
    row = db.execute("SELECT value, sha256 FROM cache_entries WHERE key = ?", (key,)).fetchone()
    return _opened(key, *row) if row is not None else None


def _opened(key: str, data: bytes, seal: bytes) -> bytes | None:
    return data if _seal(key, data) == seal else None


def _decoded(decoder: msgspec.json.Decoder[_T], data: bytes | None) -> _T | None:
    if data is None:
        return None
    try:
        return decoder.decode(data)
    except msgspec.DecodeError:
        return None


def _kept(row: Sequence[Any]) -> KeptStretch | None:
    start_pts, end_pts, start_overlap, end_overlap, start_s, end_s, anchors, key, *sealed = row
    value = _decoded(_chunk_decoder, _opened(key, *sealed))
    if value is None:
        return None
    stretch = Stretch(
        index=0,
        start=Boundary(start_pts, bool(start_overlap)),
        end=Boundary(end_pts, bool(end_overlap)),
        start_s=start_s,
        end_s=end_s,
        anchors=_anchors_decoder.decode(anchors),
    )
    return KeptStretch(stretch, key, value)


def _apart(found: Sequence[KeptStretch]) -> tuple[KeptStretch, ...]:
    """The choice of stretches that do not overlap and together cover the most.

    Weighted interval scheduling: runs with other chunk lengths may have left several ways to
    cover the same recording.
    """
    ordered = sorted(found, key=lambda each: each.stretch.end.pts)
    ends = [each.stretch.end.pts for each in ordered]
    best: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    for index, each in enumerate(ordered):
        before = bisect_right(ends, each.stretch.start.pts, 0, index)
        length = each.stretch.end.pts - each.stretch.start.pts
        with_it = best[before][0] + length
        best.append(
            (with_it, (*best[before][1], index)) if with_it > best[index][0] else best[index]
        )
    return tuple(ordered[index] for index in best[-1][1])

"""Cache keys: tagged SHA-256 over everything that decides a result, and nothing else."""

from __future__ import annotations

import hashlib
import json

from msgspec.structs import asdict

from sttbatch.core.models import MIXED, ChannelMode
from sttbatch.core.options import RequestOptions, Task

KEY_VERSION = 1
"""Raising it makes all stored results unusable, so that everything is sent and paid for again."""
AUDIT_VERSION = 1
"""To be raised when gap repair gets better, so that it runs again on repaired answers."""

# json.dumps would create an encoder for each key.
_canonical_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


class ContentAddresser:
    """Keys for one set of request options, of which every field counts, and one channel mode."""

    def __init__(self, options: RequestOptions, channels: ChannelMode = ChannelMode.MIX) -> None:
        self.channels = channels
        # The default mode is left out, so that a new mode changes no key.
        self._mode = {} if channels is ChannelMode.MIX else {"channels": str(channels)}
        facts = asdict(options)
        if options.task is Task.TRANSCRIBE:
            del facts["task"]
        # A translation is no transcript that is searched, or that models are asked about.
        self._result = "transcript" if options.task is Task.TRANSCRIBE else "translated"
        self._request = {name: _canonical(value) for name, value in facts.items()}
        self._frames: dict[tuple[int, int, str], tuple[bytes, bytes]] = {}

    @property
    def request_sha256(self) -> str:
        """Identifies the request options."""
        return self._digest("request")

    @property
    def job_sha256(self) -> str:
        """Identifies a job together with the recording's content and stream."""
        return self._digest("request", **self._mode)

    def cut_sha256(self, channel: int) -> str:
        """Identifies the request options and the channel, as channels are cut separately."""
        return self._digest("request", **({} if channel == MIXED else {"channel": channel}))

    def chunk_key(self, audio_sha256: str, repeat: int = 0) -> str:
        """The key of a chunk's answer, or of repeated request number `repeat` of gap repair.

        `audio_sha256` covers codec parameters, extradata and source packets, so that neither the
        encoding of the upload nor the recording's path matters.
        """
        repeated = {"ask": repeat} if repeat else {}
        return "chunk:" + self._digest("chunk", audio=audio_sha256, **repeated)

    def audit_key(self, chunk_key: str, *, vad: bool = True) -> str:
        """The key of a chunk's answer after gap repair, with a speech detector or by sound."""
        by_sound = {} if vad else {"vad": "off"}
        return "audit:" + self._digest("audit", chunk=chunk_key, audit=AUDIT_VERSION, **by_sound)

    def transcript_key(
        self, file_sha256: str, stream: int, merge_version: int, audit_mode: str = "off"
    ) -> str:
        """The key of a transcript, which changes with the version of the merger."""
        frame = (stream, merge_version, audit_mode)
        if frame not in self._frames:
            # A run over a finished folder needs thousands of keys, which differ only in this.
            text = self._canonical(
                "transcript",
                file="",
                stream=stream,
                merge=merge_version,
                audit=audit_mode,
                **self._mode,
            )
            before, empty, after = text.partition(b'"file": "')
            self._frames[frame] = before + empty, after
        before, after = self._frames[frame]
        return (
            f"{self._result}:" + hashlib.sha256(before + file_sha256.encode() + after).hexdigest()
        )

    def _digest(self, tag: str, **facts: object) -> str:
        return hashlib.sha256(self._canonical(tag, **facts)).hexdigest()

    def _canonical(self, tag: str, **facts: object) -> bytes:
        # The request is nested, so that none of its fields can collide with another fact.
        value = {"tag": tag, "version": KEY_VERSION, "request": self._request, **facts}
        return _canonical_json.encode(value).encode("utf-8", "surrogatepass")


def _canonical(value: object) -> object:
    """One form for 0, 0.0 and -0.0, which mean the same request."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value + 0.0 if is_number else value  # type: ignore[operator]  # narrowed above

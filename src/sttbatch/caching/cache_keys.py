"""Cache keys: tagged SHA-256 over everything that decides an answer, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from sttbatch.core.models import MIXED, ChannelMode
from sttbatch.core.options import RequestOptions

KEY_VERSION = 1
"""Counts up when the same facts must no longer find what was stored under them: everything is
then sent and paid for again."""
AUDIT_VERSION = 1
"""Counts up when gap repair gets better, so that it runs again on what an older one repaired."""

# json.dumps would make an encoder for each key.
_canonical_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


class ContentAddresser:
    """Keys for one set of request options, every field of which counts, and one channel mode."""

    def __init__(self, options: RequestOptions, channels: ChannelMode = ChannelMode.MIX) -> None:
        self.channels = channels
        # The default mode is left out, so that a new mode changes no key.
        self._mode = {} if channels is ChannelMode.MIX else {"channels": str(channels)}
        facts = dataclasses.asdict(options)
        self._request = {name: _canonical(value) for name, value in facts.items()}
        self._frames: dict[tuple[int, int, str], tuple[bytes, bytes]] = {}

    @property
    def request_sha256(self) -> str:
        """Stands for the request options alone."""
        return self._digest("request")

    @property
    def job_sha256(self) -> str:
        """Stands for what is made of a recording; with its content it identifies a job."""
        return self._digest("request", **self._mode)

    def cut_sha256(self, channel: int) -> str:
        """Stands for the request and the channel that was cut: channels are cut one by one."""
        return self._digest("request", **({} if channel == MIXED else {"channel": channel}))

    def chunk_key(self, audio_sha256: str, ask: int = 0) -> str:
        """One chunk's key, or that of a repeated request for it: the first one of gap repair is 1.

        `audio_sha256` covers codec parameters, extradata and source packets, so the shape the
        chunk travels in, and where the recording lies, do not matter.
        """
        again = {"ask": ask} if ask else {}
        return "chunk:" + self._digest("chunk", audio=audio_sha256, **again)

    def audit_key(self, chunk_key: str, *, vad: bool = True) -> str:
        """The key of a chunk's answer after gap repair, with a speech detector or by sound."""
        by_sound = {} if vad else {"vad": "off"}
        return "audit:" + self._digest("audit", chunk=chunk_key, audit=AUDIT_VERSION, **by_sound)

    def transcript_key(
        self, file_sha256: str, stream: int, merge_version: int, audit_mode: str = "off"
    ) -> str:
        """The key of a transcript; a newer merger makes a new one from the same chunks."""
        frame = (stream, merge_version, audit_mode)
        if frame not in self._frames:
            # A run over a finished folder makes thousands of these keys, all alike but for this.
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
        return "transcript:" + hashlib.sha256(before + file_sha256.encode() + after).hexdigest()

    def _digest(self, tag: str, **facts: object) -> str:
        return hashlib.sha256(self._canonical(tag, **facts)).hexdigest()

    def _canonical(self, tag: str, **facts: object) -> bytes:
        # The request stands apart: no field of it can take the place of another fact.
        whole = {"tag": tag, "version": KEY_VERSION, "request": self._request, **facts}
        return _canonical_json.encode(whole).encode("utf-8", "surrogatepass")


def _canonical(value: object) -> object:
    """0, 0.0 and -0.0 mean the same request."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value + 0.0 if is_number else value  # type: ignore[operator]  # narrowed above

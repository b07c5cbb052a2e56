"""What a user chose. Everything that changes what is asked of a recogniser is in one type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sttbatch.core.models import ChannelMode, UploadCodec

MIB = 1024 * 1024
API_BODY_LIMIT_BYTES = 25 * MIB - 64 * 1024
"""Some servers count the whole body against 25 MiB, so the multipart frame gets headroom."""


OUTPUT_FORMATS = ("txt", "srt", "vtt", "tsv", "json")
"""What a transcript can be written as; `outputs.formats` has a function for each."""


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """All that decides what a recogniser answers for given audio; every field is in the key.

    Attributes:
        engine: `cloudru` or `local`.
        origin: scheme, host and port of the base URL; empty for the local engine.
        language: as the user gave it; None lets the recogniser detect it.
    """

    engine: str
    origin: str
    model: str
    language: str | None = None
    prompt: str | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class ChunkingOptions:
    """How recordings are cut; none of it changes a cache key, but for `channels`.

    Attributes:
        target_duration_s: what a chunk should last when the batch is large.
        max_chunk_bytes: no upload's file is larger.
        audio_stream: index in each container; None: the one with sound, the default one first.
        channels: `split` sends each channel as samples of its own, encoded again.
    """

    target_duration_s: float = 300.0
    max_chunk_bytes: int = 24 * MIB
    upload_codec: UploadCodec = UploadCodec.AUTO
    audio_stream: int | None = None
    channels: ChannelMode = ChannelMode.MIX

    @property
    def likely_stream(self) -> int:
        """The stream that is meant, as long as no recording says otherwise."""
        return self.audio_stream or 0


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What is written, and where: beside each recording unless there is a `directory`.

    `max_line_width` is in characters of a subtitle line.
    """

    formats: tuple[str, ...] = ("txt", "json")
    directory: Path | None = None
    words: bool = False
    max_line_width: int = 42
    max_lines: int = 2
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How one run behaves.

    Attributes:
        max_cost: in the currency of the price setting; None: no limit.
        price_per_second: of audio, for estimates and budgets.
        force: send again what is cached.
        no_wait: leave out what another run is working on, instead of waiting for its results.
        requests_per_minute: the rate limit, for estimates; None: there is none.
        audio_seconds_per_minute: the same for seconds of audio.
        audit: ask again for sound that has no words.
        audit_share: of a recording's length; no more audio is sent again.
    """

    fail_fast: bool = False
    force: bool = False
    no_wait: bool = False
    max_cost: float | None = None
    price_per_second: float = 0.01
    requests_per_minute: int | None = None
    audio_seconds_per_minute: float | None = None
    audit: bool = True
    audit_share: float = 0.25

    @property
    def audit_mode(self) -> str:
        """What a transcript's key knows of the audit: a share that is used up is never cached."""
        return "on" if self.audit else "off"

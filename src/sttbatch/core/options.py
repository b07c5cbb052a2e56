"""Options of a run. Everything that decides an engine's answer is in `RequestOptions`."""

from __future__ import annotations

import os
import random
from enum import StrEnum

from msgspec import Struct

from sttbatch.core.models import ChannelMode, Hallucinations, UploadCodec

MIB = 1024 * 1024
API_BODY_LIMIT_BYTES = 25 * MIB - 64 * 1024
"""Some servers limit the whole body to 25 MiB; 64 KiB are left for the multipart frame."""


OUTPUT_FORMATS = ("txt", "srt", "vtt", "tsv", "json", "md", "html", "docx", "rttm")
"""Formats of outputs; `outputs.formats` has a function for each."""

EMBEDDING_FORMAT = "html"
"""The format that may contain the recording."""


class Task(StrEnum):
    """What an engine writes: the words as they are spoken, or their translation into English."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


ENGLISH_ONLY = "knows English only and translates nothing; give a multilingual one, --model small"


class RequestOptions(Struct, frozen=True):
    """Everything that decides the answer for given audio; every field is part of the cache key.

    A `task` other than the default is, so that older keys stay as they are.

    Attributes:
        engine: `cloudru` or `local`.
        origin: scheme, host and port of the base URL; empty for the local engine.
        language: as the user gave it; None: the engine detects it.
    """

    engine: str
    origin: str
    model: str
    language: str | None = None
    prompt: str | None = None
    temperature: float | None = None
    task: Task = Task.TRANSCRIBE


class ChunkingOptions(Struct, frozen=True):
    """How recordings are cut; only `channels` changes cache keys.

    Attributes:
        target_duration_s: of a chunk when the batch is large.
        max_chunk_bytes: maximum size of an upload's file.
        audio_stream: index in each container; None: the one with speech, the default one first.
        channels: `split` re-encodes each channel and sends it separately.
    """

    target_duration_s: float = 300.0
    max_chunk_bytes: int = 24 * MIB
    upload_codec: UploadCodec = UploadCodec.AUTO
    audio_stream: int | None = None
    channels: ChannelMode = ChannelMode.MIX

    @property
    def likely_stream(self) -> int:
        """The stream that is assumed before the recording is probed."""
        return self.audio_stream or 0


class OutputOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What is written, and where: beside each recording unless there is a `directory`.

    `public_base_url` is the address at which others read the objects of a bucket. `embed_audio`
    puts the recording into its html page. `rules` are those of a dictionary, a line
    `wrong => right` for each, sorted.
    """

    formats: tuple[str, ...] = ("txt", "json")
    directory: os.PathLike[str] | None = None
    words: bool = False
    max_line_width: int = 42
    max_lines: int = 2
    overwrite: bool = False
    hallucinations: Hallucinations = Hallucinations.DROP
    public_base_url: str | None = None
    timestamps: bool = False
    embed_audio: bool = False
    rules: str = ""

    @property
    def has_audio(self) -> bool:
        """Whether an output may have to contain the recording; what is printed has no formats."""
        endings = [name.rpartition(".")[2] for name in self.formats]
        return self.embed_audio and (not endings or EMBEDDING_FORMAT in endings)


class Backoff(StrEnum):
    """How the waits before retries of a chunk grow."""

    EXPONENTIAL = "exponential"
    LINEAR = "linear"
    FIXED = "fixed"


class RetryConfig(Struct, frozen=True):
    """How long to wait before a chunk that failed is sent again.

    Attributes:
        base_s: the wait after the first failure.
        cap_s: the longest wait, unless the endpoint asks for more.
    """

    backoff: Backoff = Backoff.EXPONENTIAL
    base_s: float = 0.5
    cap_s: float = 60.0

    def wait_s(self, failures: int) -> float:
        """The wait after a number of failures, which is at least 1.

        Exponential waits are random up to that length (full jitter, AWS Architecture Blog 2015), so
        that lanes do not retry together; the others are exact.
        """
        if self.backoff is Backoff.FIXED:
            return min(self.cap_s, self.base_s)
        if self.backoff is Backoff.LINEAR:
            return min(self.cap_s, self.base_s * failures)
        ceiling_s = min(self.cap_s, self.base_s * 2.0 ** (failures - 1))
        return random.uniform(0, ceiling_s)  # noqa: S311 - spreads load, guards nothing


class RunOptions(Struct, frozen=True):
    """How one run behaves.

    Attributes:
        max_cost: in the currency of the price setting; None: no limit.
        price_per_second: of audio, for estimates and budgets.
        force: send again what is cached.
        no_wait: skip what another run is processing, instead of waiting for its results.
        requests_per_minute: the rate limit, for estimates; None: no limit.
        audio_seconds_per_minute: the same for seconds of audio.
        audit: ask again for speech that has no words.
        audit_share: of a recording's length; no more audio is sent again.
        vad: a speech detector decides what holds speech; else everything that is not silent does.
        job_retries: how many later runs try a recording again that failed.
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
    vad: bool = True
    job_retries: int = 3

    @property
    def audit_mode(self) -> str:
        """What a transcript's key knows of the audit: a share that is used up is never cached."""
        return ("on" if self.audit else "off") + ("" if self.vad else ", all sound")

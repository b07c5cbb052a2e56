"""Converts settings and options to the types of the rooms below."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from sttbatch.composition.settings import Settings
from sttbatch.core.addresses import origins
from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import JobPriority
from sttbatch.core.locations import location
from sttbatch.core.models import ConcurrencyLimit
from sttbatch.core.options import (
    ENGLISH_ONLY,
    MIB,
    ChunkingOptions,
    OutputOptions,
    RequestOptions,
    RunOptions,
    Task,
)
from sttbatch.kinds.transcription.spec import RunConfig

if TYPE_CHECKING:
    from sttbatch.kinds.transcription.prompts import GlossaryPrompt

CLOUDRU_MODEL = "openai/whisper-large-v3"
LOCAL_MODEL = "tiny.en"


class RunFlags(Struct, frozen=True):
    """Options that are no settings."""

    audio_stream: int | None = None
    force: bool = False
    overwrite: bool = False
    fail_fast: bool = False
    max_cost: float | None = None
    dry_run: bool = False
    no_wait: bool = False
    priority: JobPriority = JobPriority.MEDIUM
    task: Task = Task.TRANSCRIBE


def run_config_of(
    settings: Settings,
    flags: RunFlags = RunFlags(),  # noqa: B008 - it is frozen
    *,
    to_stdout: bool = False,
) -> RunConfig:
    """The effective options of a run.

    Raises UsageError for a task that its model cannot do, and for a glossary or a dictionary that
    cannot be read.
    """
    is_local = settings.engine == "local"
    formats = tuple(settings.formats)
    if flags.task is Task.TRANSLATE:
        _check_translates(settings)
        # Beside a transcript in its own language, which has the shorter name.
        formats = tuple(f"en.{name}" for name in formats)
    return RunConfig(
        request=RequestOptions(
            engine=settings.engine,
            origin="" if is_local else origins(settings.base_url)[0],
            model=settings.model or (LOCAL_MODEL if is_local else CLOUDRU_MODEL),
            language=settings.language,
            prompt=prompt_of(settings).prompt,
            temperature=settings.temperature,
            task=flags.task,
        ),
        chunking=ChunkingOptions(
            target_duration_s=settings.chunk_duration,
            max_chunk_bytes=int(settings.max_chunk_mb * MIB),
            upload_codec=settings.upload_codec,
            audio_stream=flags.audio_stream,
            channels=settings.channels,
        ),
        outputs=OutputOptions(
            formats=() if to_stdout else formats,
            directory=location(settings.output_dir)
            if settings.output_dir and not to_stdout
            else None,
            words=settings.words,
            timestamps=settings.timestamps,
            max_line_width=settings.max_line_width,
            max_lines=settings.max_lines,
            overwrite=flags.overwrite,
            hallucinations=settings.hallucinations,
            public_base_url=settings.public_base_url,
            embed_audio=settings.embed_audio,
            rules=rules_of(settings),
        ),
        run=RunOptions(
            fail_fast=flags.fail_fast,
            force=flags.force,
            no_wait=flags.no_wait,
            max_cost=flags.max_cost,
            price_per_second=0.0 if is_local else settings.price_per_second,
            requests_per_minute=None if is_local else settings.rate_limit,
            audio_seconds_per_minute=None if is_local else settings.audio_rate_limit,
            audit=settings.audit,
            audit_share=settings.audit_share,
            vad=settings.vad == "auto",
            job_retries=settings.job_retries,
        ),
        concurrency=concurrency_of(settings),
    )


def prompt_of(settings: Settings) -> GlossaryPrompt:
    """The prompt with the terms of the glossary; raises UsageError if that cannot be read."""
    from sttbatch.kinds.transcription.prompts import GlossaryPrompt, glossary_prompt

    if settings.glossary is None:
        return GlossaryPrompt(settings.prompt)
    from sttbatch.kinds.language.glossaries import read_terms

    return glossary_prompt(settings.prompt, read_terms(Path(settings.glossary).expanduser()))


def terms_left_out(settings: Settings) -> str | None:
    """A warning of terms of the glossary for which the prompt has no room."""
    left_out = prompt_of(settings).left_out
    if not left_out:
        return None
    terms = "term does" if len(left_out) == 1 else "terms do"
    return (
        f"{settings.glossary}: {len(left_out)} {terms} not fit into the prompt, of which Whisper "
        f"reads 224 tokens: from {left_out[0]!r} on; put the most important ones first"
    )


def rules_of(settings: Settings) -> str:
    """As `OutputOptions.rules`; raises UsageError if the dictionary cannot be read."""
    if settings.replace is None:
        return ""
    from sttbatch.outputs.replacements import read_rules

    return read_rules(Path(settings.replace).expanduser())


def check_device(settings: Settings) -> None:
    """Raises UsageError if the local engine is to run on a GPU, and there is none."""
    if settings.engine == "local" and settings.device == "cuda":
        from sttbatch.external.local.hardware import check_gpu

        check_gpu()


def _check_translates(settings: Settings) -> None:
    if settings.engine != "local":
        raise UsageError(
            "--task translate needs --engine local: the endpoint has no translations; "
            "`sttbatch translate` does it"
        )
    model = settings.model or LOCAL_MODEL
    if model.endswith(".en"):
        raise UsageError(f"the model {model} {ENGLISH_ONLY}")


def concurrency_of(settings: Settings) -> ConcurrencyLimit:
    """The maximum number of requests in flight, for which recordings are cut."""
    if settings.engine == "local":
        # It recognises several parts of a chunk at once, so that more chunks make nothing faster.
        return ConcurrencyLimit(1)
    if isinstance(settings.concurrency, int):
        return ConcurrencyLimit(settings.concurrency)
    return ConcurrencyLimit(settings.max_concurrency)


def lanes_of(settings: Settings) -> int:
    """The number of chunks that are with the engine at the same time."""
    if settings.engine == "local":
        from sttbatch.external.local.hardware import most_at_once, usable_cores

        # Short ones are recognised at once, and another one is decoded meanwhile.
        return most_at_once(usable_cores()) + 1
    return concurrency_of(settings).value


def adapts(settings: Settings) -> bool:
    """Whether the number of lanes follows the endpoint's answers."""
    return settings.engine != "local" and settings.concurrency == "auto"

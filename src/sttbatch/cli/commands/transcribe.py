"""sttbatch transcribe: turn recordings into transcripts."""

from __future__ import annotations

import codecs
import math
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sttbatch.cli import options
from sttbatch.core.errors import SttbatchError, UsageError
from sttbatch.core.jobs import JobPriority

if TYPE_CHECKING:
    from sttbatch.cli.console.progress import OutputMode
    from sttbatch.composition.effective_options import RunFlags
    from sttbatch.monitoring.logs import EventLog
    from sttbatch.processing.discovery import Discovery


def transcribe(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH...", help="Recordings, folders or glob patterns."),
    ] = None,
    output_dir: options.OutputDir = None,
    formats: options.Formats = None,
    language: options.Language = None,
    prompt: options.Prompt = None,
    words: options.Words = None,
    engine: options.Engine = None,
    concurrency: options.Concurrency = None,
    dry_run: options.DryRun = False,
    max_cost: options.MaxCost = None,
    quiet: options.Quiet = False,
    files_from: options.FilesFrom = None,
    audio_stream: options.AudioStream = None,
    min_age: options.MinAge = "0",
    no_wait: options.NoWait = False,
    max_line_width: options.MaxLineWidth = None,
    max_lines: options.MaxLines = None,
    overwrite: options.Overwrite = False,
    temperature: options.Temperature = None,
    channels: options.Channels = None,
    audit: options.Audit = None,
    vad: options.Vad = None,
    hallucinations: options.Hallucinations = None,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    chunk_duration: options.ChunkDuration = None,
    max_chunk_mb: options.MaxChunkMb = None,
    upload_codec: options.UploadCodec = None,
    priority: options.Priority = "medium",
    rate_limit: options.RateLimit = None,
    retries: options.Retries = None,
    outage_wait: options.OutageWait = None,
    force: options.Force = False,
    fail_fast: options.FailFast = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
    log_file: options.LogFile = None,
    no_progress: options.NoProgress = False,
) -> None:
    """Transcribe recordings, and every recording or video in folders.

    Prints the path of each finished recording's first output.

    Exit codes: 0 all done, 1 some recordings failed, 2 wrong usage,
    3 the endpoint refuses the key, 4 a budget is reached, 128 + N signal N.
    """
    from sttbatch.cli.console.progress import OutputMode
    from sttbatch.composition.effective_options import RunFlags

    if log_format not in {"text", "json"}:
        raise UsageError(f"--log-format is text or json, not {log_format!r}")
    if max_cost is not None and math.isnan(max_cost):
        raise UsageError("--max-cost nan is not a limit; give a number")
    if priority.upper() not in JobPriority.__members__:
        raise UsageError(f"--priority is high, medium or low, not {priority!r}")
    to_stdout, bars = output_dir == "-", sys.stderr.isatty() and not no_progress
    mode = OutputMode(quiet, verbose, log_format == "json", bars, to_stdout, log_file)
    settings = {
        "output_dir": None if to_stdout else output_dir, "formats": formats, "words": words,
        "language": language, "prompt": prompt, "temperature": temperature, "audit": audit,
        "max_line_width": max_line_width, "max_lines": max_lines, "channels": channels,
        "engine": engine, "model": model, "base_url": base_url, "concurrency": concurrency,
        "chunk_duration": chunk_duration, "max_chunk_mb": max_chunk_mb,
        "upload_codec": upload_codec, "rate_limit": rate_limit, "retries": retries,
        "outage_wait": outage_wait, "vad": vad, "hallucinations": hallucinations,
    }  # fmt: skip
    flags = RunFlags(
        audio_stream, force, overwrite, fail_fast, max_cost, dry_run, no_wait,
        JobPriority[priority.upper()],
    )  # fmt: skip
    work = partial(_transcribe, paths or [], files_from, min_age, settings, flags, mode)
    raise typer.Exit(_logged(mode, work))


def _logged(mode: OutputMode, work: Callable[[EventLog | None], int]) -> int:
    """The exit code of `work`; the log always ends with a summary, however the run ends."""
    from sttbatch.cli.console.progress import event_log
    from sttbatch.cli.console.run_summary import error_facts
    from sttbatch.cli.exit_codes import SIGNAL_BASE, error_exit_code
    from sttbatch.cli.signals import exit_on_signal

    with event_log(mode) as log:
        try:
            with exit_on_signal():
                return work(log)
        except SystemExit as ended:
            code = int(ended.code or 0)
            if log is not None:
                reason = f"ended by signal {code - SIGNAL_BASE}"
                log.summary(reason, error_facts(reason, code))
            return code
        except SttbatchError as error:
            code = error_exit_code(error)
            if log is not None:
                log.summary(f"ended: {error}", error_facts(error, code))
            if mode.is_json:
                return code
            raise


def _transcribe(
    paths: list[str],
    files_from: str | None,
    min_age: str,
    options: dict[str, Any],
    flags: RunFlags,
    mode: OutputMode,
    log: EventLog | None,
) -> int:
    import asyncio

    from sttbatch.cli.transcribe_session import TranscribeSession
    from sttbatch.composition.credentials import load_key
    from sttbatch.composition.setting_values import option_s
    from sttbatch.composition.settings import load_settings

    loaded = load_settings(options)
    discovery = _discover(paths, files_from, option_s("--min-age", min_age))
    settings, dry_run = loaded.settings, flags.dry_run
    key = load_key(settings) if settings.engine == "cloudru" and not dry_run else None
    session = TranscribeSession(settings, flags, mode, key, loaded.alerts, log)
    work = session.forecast if dry_run else session.transcribe_all
    return asyncio.run(work(discovery))


def _discover(paths: list[str], files_from: str | None, min_age_s: float) -> Discovery:
    from sttbatch.processing.discovery import discover, expand

    named = expand(paths)
    if files_from is not None:
        named += map(Path, _lines(files_from))
    if not named and files_from is None:
        raise UsageError("give at least one recording or folder; see sttbatch transcribe --help")
    return discover(named, min_age_s)


def _lines(source: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"--files-from {source}: {error.strerror}") from error
    # Windows' editors and PowerShell begin a text with it.
    data = data.removeprefix(codecs.BOM_UTF8)
    # Names may contain any byte but NUL, which `find -print0` writes between names.
    parts = data.split(b"\0") if b"\0" in data else data.replace(b"\r\n", b"\n").split(b"\n")
    return [os.fsdecode(part) for part in parts if part.strip()]

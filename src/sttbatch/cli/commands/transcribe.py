"""sttbatch transcribe: turn recordings into transcripts."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sttbatch.core.errors import SttbatchError, UsageError

if TYPE_CHECKING:
    from sttbatch.cli.console.output_mode import OutputMode
    from sttbatch.composition.effective_options import RunFlags
    from sttbatch.core.jobs import JobPriority
    from sttbatch.monitoring.logs import EventLog
    from sttbatch.processing.discovery import Discovery


def transcribe(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH...", help="Recordings, folders or patterns."),
    ] = None,
    files_from: Annotated[
        str | None,
        typer.Option(
            "--files-from",
            metavar="FILE|-",
            help="Read more paths, one a line (or as find -print0).",
        ),
    ] = None,
    output_dir: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output-dir",
            metavar="DIR",
            help="Mirror the input tree here; - prints the text. Default: beside each recording.",
        ),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "-f", "--format", metavar="LIST", help="txt, srt, vtt, tsv, json. Default: txt,json."
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option("-l", "--language", metavar="CODE", help="ISO-639-1. Default: detected."),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Vocabulary and style, sent with every chunk.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="0 to 1.")] = None,
    words: Annotated[
        bool | None, typer.Option("--words", help="Word timestamps in the json.")
    ] = None,
    max_line_width: Annotated[
        int | None, typer.Option(metavar="N", help="Characters of a subtitle line. Default: 42.")
    ] = None,
    max_lines: Annotated[
        int | None, typer.Option(metavar="N", help="Lines of a subtitle. Default: 2.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(metavar="NAME", help="cloudru (default), or local: offline.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="A model; for local also a folder.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(metavar="URL", help="Of the endpoint.")] = None,
    audio_stream: Annotated[
        int, typer.Option(min=0, metavar="N", help="Which audio stream of a container.")
    ] = 0,
    channels: Annotated[
        str | None,
        typer.Option(metavar="mix|split", help="split: each channel is a speaker. Default: mix."),
    ] = None,
    concurrency: Annotated[
        str | None,
        typer.Option("-j", "--concurrency", metavar="N|auto", help="1 to 10, or auto. Default: 4."),
    ] = None,
    rate_limit: Annotated[
        int | None, typer.Option(metavar="N", help="Requests a minute. Default: 600.")
    ] = None,
    chunk_duration: Annotated[
        float | None, typer.Option(metavar="S", help="Target seconds, at least 10. Default: 300.")
    ] = None,
    max_chunk_mb: Annotated[
        float | None, typer.Option(metavar="N", help="MiB of an upload. Default: 24.")
    ] = None,
    upload_codec: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto (default), copy, flac, opus, wav.")
    ] = None,
    audit: Annotated[
        bool | None,
        typer.Option(
            "--audit/--no-audit", help="Ask again for sound without words, or not. Default: do."
        ),
    ] = None,
    retries: Annotated[int | None, typer.Option(metavar="N", help="Per chunk. Default: 3.")] = None,
    outage_wait: Annotated[
        str | None, typer.Option(metavar="D", help="Sit an outage out so long. Default: 10m.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent and what it would cost.")
    ] = False,
    max_cost: Annotated[
        float | None,
        typer.Option(min=0, metavar="N", help="Send nothing beyond this cost; then exit 4."),
    ] = None,
    min_age: Annotated[
        str, typer.Option(metavar="S", help="Leave files alone that changed this recently.")
    ] = "0",
    no_wait: Annotated[
        bool,
        typer.Option("--no-wait", help="Leave out what another run is working on; then exit 0."),
    ] = False,
    priority: Annotated[
        str, typer.Option(metavar="NAME", help="high, medium (default) or low.")
    ] = "medium",
    force: Annotated[bool, typer.Option("--force", help="Send again even if cached.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that were edited.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Begin nothing new after the first failure.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Say nothing unless something failed.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Log every event on stderr.")
    ] = False,
    log_format: Annotated[
        str, typer.Option(metavar="text|json", help="Of the log; json implies -v.")
    ] = "text",
    log_file: Annotated[
        Path | None,
        typer.Option(
            "--log-file", metavar="FILE", help="Append the log to FILE instead of stderr."
        ),
    ] = None,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="Plain lines on a terminal too.")
    ] = False,
) -> None:
    """Transcribe recordings; folders are walked, videos count.

    Prints the path of each finished recording's first output. Exit: 0 all done, 1 some failed,
    2 wrong usage, 3 the endpoint refuses us, 4 a budget is reached, 128 + N after signal N.
    """
    from sttbatch.cli.console.output_mode import OutputMode
    from sttbatch.composition.effective_options import RunFlags

    to_stdout = output_dir == "-"
    if log_format not in {"text", "json"}:
        raise UsageError(f"--log-format is text or json, not {log_format!r}")
    if max_cost is not None and max_cost != max_cost:  # noqa: PLR0124 - NaN
        raise UsageError("--max-cost nan would be no limit at all; give a number")
    voice = OutputMode(
        quiet,
        verbose,
        log_format == "json",
        sys.stderr.isatty() and not no_progress,
        to_stdout,
        log_file,
    )
    options = {
        "output_dir": None if to_stdout else output_dir,
        "formats": formats,
        "language": language,
        "prompt": prompt,
        "temperature": temperature,
        "words": words,
        "max_line_width": max_line_width,
        "max_lines": max_lines,
        "engine": engine,
        "model": model,
        "base_url": base_url,
        "concurrency": concurrency,
        "rate_limit": rate_limit,
        "chunk_duration": chunk_duration,
        "max_chunk_mb": max_chunk_mb,
        "upload_codec": upload_codec,
        "channels": channels,
        "audit": audit,
        "retries": retries,
        "outage_wait": outage_wait,
    }
    flags = RunFlags(
        audio_stream,
        force,
        overwrite,
        fail_fast,
        max_cost,
        dry_run,
        no_wait,
        _priority(priority),
    )
    chosen = _Chosen(paths or [], files_from, min_age, options, flags)
    raise typer.Exit(_logged(voice, chosen))


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What the options say; `settings` are those that a setting stands behind."""

    paths: list[str]
    files_from: str | None
    min_age: str
    settings: dict[str, Any]
    flags: RunFlags


def _logged(voice: OutputMode, chosen: _Chosen) -> int:
    """The exit code; a log always ends with it, whatever ended the run."""
    from sttbatch.cli.console.output_mode import error_facts, event_log
    from sttbatch.cli.exit_codes import SIGNAL_BASE, code_of
    from sttbatch.cli.signals import leaving

    with event_log(voice) as log:
        try:
            with leaving():
                return _transcribe(voice, chosen, log)
        except SystemExit as ended:
            code = int(ended.code or 0)
            if log is not None:
                told = f"ended by signal {code - SIGNAL_BASE}"
                log.summary(told, error_facts(told, code))
            return code
        except SttbatchError as error:
            code = code_of(error)
            if log is not None:
                log.summary(f"ended: {error}", error_facts(error, code))
            if voice.is_json:
                return code
            raise


def _transcribe(voice: OutputMode, chosen: _Chosen, log: EventLog | None) -> int:
    import asyncio

    from sttbatch.cli.transcribe_session import Run
    from sttbatch.composition.credentials import load_key
    from sttbatch.composition.settings import duration_s, load_settings

    loaded = load_settings(chosen.settings)
    try:
        age_s = duration_s(chosen.min_age)
    except ValueError as error:
        raise UsageError(f"--min-age {chosen.min_age}: {error}") from error
    found = _discover(chosen.paths, chosen.files_from, age_s)
    settings, dry_run = loaded.settings, chosen.flags.dry_run
    key = load_key(settings) if settings.engine == "cloudru" and not dry_run else None
    run = Run(settings, chosen.flags, voice, key, loaded.alerts, log)
    return asyncio.run(run.forecast(found) if dry_run else run.transcribe(found))


def _priority(name: str) -> JobPriority:
    from sttbatch.core.jobs import JobPriority

    if name.upper() not in JobPriority.__members__:
        raise UsageError(f"--priority is high, medium or low, not {name!r}")
    return JobPriority[name.upper()]


def _discover(paths: list[str], files_from: str | None, min_age_s: float) -> Discovery:
    from sttbatch.processing.discovery import discover, expand

    try:
        named = list(expand(paths))
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename}: no such file or folder") from error
    if files_from is not None:
        named += map(Path, _lines(files_from))
    if not named and files_from is None:
        raise UsageError("name at least one recording or folder; sttbatch transcribe --help")
    return discover(named, min_age_s)


def _lines(source: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"--files-from {source}: {error.strerror}") from error
    # Names may hold anything but a zero, which is what `find -print0` parts them with.
    parts = data.split(b"\0") if b"\0" in data else data.replace(b"\r\n", b"\n").split(b"\n")
    return [os.fsdecode(part) for part in parts if part.strip()]

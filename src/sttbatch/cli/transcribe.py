"""sttbatch transcribe: turn recordings into transcripts."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.batch.report import BatchReport
    from sttbatch.cli.progress import Display
    from sttbatch.cli.settings import Settings
    from sttbatch.cli.wiring import RunFlags
    from sttbatch.core.events import Event
    from sttbatch.processing.discovery import Discovery

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class _Voice:
    """How a run speaks."""

    quiet: bool
    verbose: bool
    log_format: str
    bars: bool


def transcribe(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH...", help="Recordings, folders or patterns."),
    ] = None,
    files_from: Annotated[
        str | None,
        typer.Option("--files-from", metavar="FILE|-", help="Read more paths, one a line."),
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
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="Plain lines on a terminal too.")
    ] = False,
) -> None:
    """Transcribe recordings; folders are walked, videos count.

    Prints the path of each finished recording's first output. Exit: 0 all done, 1 some failed,
    2 wrong usage, 3 the endpoint refuses us, 4 a budget is reached, 128 + N after signal N.
    """
    from sttbatch.cli.settings import duration_s, load_settings
    from sttbatch.cli.wiring import RunFlags
    from sttbatch.queue.job import JobPriority

    to_stdout = output_dir == "-"
    loaded = load_settings(
        {
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
            "retries": retries,
            "outage_wait": outage_wait,
        }
    )
    if log_format not in {"text", "json"}:
        raise UsageError(f"--log-format is text or json, not {log_format!r}")
    try:
        age_s = duration_s(min_age)
    except ValueError as error:
        raise UsageError(f"--min-age {min_age}: {error}") from error
    if priority.upper() not in JobPriority.__members__:
        raise UsageError(f"--priority is high, medium or low, not {priority!r}")
    flags = RunFlags(
        audio_stream,
        force,
        overwrite,
        fail_fast,
        max_cost,
        dry_run,
        no_wait,
        JobPriority[priority.upper()],
    )
    found = _discover(paths or [], files_from, age_s)
    bars = sys.stderr.isatty() and not (no_progress or verbose or log_format == "json")
    voice = _Voice(quiet, verbose or log_format == "json", log_format, bars)
    raise typer.Exit(asyncio.run(_run(loaded.settings, flags, found, voice, to_stdout=to_stdout)))


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
    text = data.decode(sys.getfilesystemencoding(), "surrogateescape")
    return [line for line in text.splitlines() if line.strip()]


async def _run(
    settings: Settings, flags: RunFlags, found: Discovery, voice: _Voice, *, to_stdout: bool
) -> int:
    from sttbatch.cli.exits import exit_code
    from sttbatch.cli.key import load_key
    from sttbatch.cli.progress import Display
    from sttbatch.cli.rendering import Out, summary
    from sttbatch.cli.stdout_writer import StdoutWriter
    from sttbatch.cli.wiring import open_batch
    from sttbatch.monitoring.logs import EventLog

    begun = time.monotonic()
    key = load_key(settings) if settings.engine == "cloudru" and not flags.dry_run else None
    out = Out()
    display = Display(out, bars=voice.bars, quiet=voice.quiet, paths=not to_stdout)
    log = EventLog(sys.stderr, as_json=voice.log_format == "json") if voice.verbose else None

    def emit(event: Event) -> None:
        display(event)
        if log is not None:
            log(event)

    writer = StdoutWriter(out, settings.formats[0]) if to_stdout else None
    async with open_batch(settings, flags, key, emit, writer) as batch:
        if flags.dry_run:
            return await _dry_run(batch, found, out, settings)
        caught = _Signals(batch.stop, display)
        with display, caught:
            try:
                report = await batch.run(found)
            except asyncio.CancelledError:
                if caught.first is None:
                    raise
                report = batch.report
    _conclude(report, display, summary(report, time.monotonic() - begun), voice)
    return exit_code(report, caught.first)


def _conclude(report: BatchReport, display: Display, line: str, voice: _Voice) -> None:
    from sttbatch.batch.report import Outcome
    from sttbatch.cli.rendering import printable

    for each in report.recordings:
        for path in each.kept:
            display.say(
                f"{printable(path)}: kept, it was edited or is not ours (--overwrite replaces it)"
            )
    if report.fatal is not None:
        display.say(f"sttbatch: {printable(str(report.fatal))}", important=True)
    failed = report.count(Outcome.FAILED) > 0 or report.fatal is not None
    display.say(line, important=failed and not voice.quiet)


async def _dry_run(batch: Any, found: Discovery, out: Any, settings: Settings) -> int:
    from sttbatch.batch.report import Outcome
    from sttbatch.cli.rendering import forecast_lines
    from sttbatch.cli.wiring import concurrency_of
    from sttbatch.core.options import ChunkingOptions
    from sttbatch.processing.chunk_sizer import DynamicChunkSizer

    forecasts = await batch.forecast(found)
    estimate_s = DynamicChunkSizer(ChunkingOptions()).estimate_s(
        sum(each.audio_s for each in forecasts),
        sum(each.chunks for each in forecasts),
        concurrency_of(settings),
    )
    for line in forecast_lines(forecasts, estimate_s):
        out.line(line)
    return 1 if batch.report.count(Outcome.FAILED) else 0


class _Signals:
    """The first signal lets what is in flight finish and be stored, the second cancels."""

    def __init__(self, stop: Callable[[], None], display: Display) -> None:
        self._stop = stop
        self._display = display
        self.first: int | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        for number in SIGNALS:
            loop.add_signal_handler(number, self._caught, number, task)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    def _caught(self, number: int, task: asyncio.Task[Any]) -> None:
        if self.first is not None:
            task.cancel()
            return
        self.first = number
        self._display.say(
            "stopping: what is in flight is finished and stored; once more to leave at once"
        )
        self._stop()

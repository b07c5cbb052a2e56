"""TranscribeOptions: the options that `transcribe` and `submit` share."""

from __future__ import annotations

import codecs
import inspect
import math
import os
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from sttbatch.cli import options
from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import JobPriority

if TYPE_CHECKING:
    from sttbatch.cli.console.progress import OutputMode
    from sttbatch.composition.effective_options import RunFlags
    from sttbatch.composition.settings import Settings
    from sttbatch.processing.discovery import Discovery

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH...", help="Recordings, folders, glob patterns or s3://bucket/prefix."
    ),
]


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """Arguments and options as they were given, in the order of `--help`."""

    paths: Paths = None
    output_dir: options.OutputDir = None
    formats: options.Formats = None
    language: options.Language = None
    prompt: options.Prompt = None
    words: options.Words = None
    engine: options.Engine = None
    concurrency: options.Concurrency = None
    dry_run: options.DryRun = False
    max_cost: options.MaxCost = None
    quiet: options.Quiet = False
    files_from: options.FilesFrom = None
    audio_stream: options.AudioStream = None
    min_age: options.MinAge = "0"
    no_wait: options.NoWait = False
    max_line_width: options.MaxLineWidth = None
    max_lines: options.MaxLines = None
    overwrite: options.Overwrite = False
    temperature: options.Temperature = None
    channels: options.Channels = None
    audit: options.Audit = None
    vad: options.Vad = None
    hallucinations: options.Hallucinations = None
    model: options.Model = None
    base_url: options.BaseUrl = None
    chunk_duration: options.ChunkDuration = None
    max_chunk_mb: options.MaxChunkMb = None
    upload_codec: options.UploadCodec = None
    priority: options.Priority = "medium"
    rate_limit: options.RateLimit = None
    retries: options.Retries = None
    outage_wait: options.OutageWait = None
    force: options.Force = False
    fail_fast: options.FailFast = False
    verbose: options.Verbose = False
    log_format: options.LogFormat = "text"
    log_file: options.LogFile = None
    no_progress: options.NoProgress = False

    @property
    def to_stdout(self) -> bool:
        """Whether transcripts are printed instead of written to files."""
        return self.output_dir == "-"

    def mode(self) -> OutputMode:
        """What is printed and logged; raises UsageError for an unknown format."""
        from sttbatch.cli.run_log import output_mode

        return output_mode(
            quiet=self.quiet,
            verbose=self.verbose,
            log_format=self.log_format,
            log_file=self.log_file,
            bars=sys.stderr.isatty() and not self.no_progress,
            text=self.to_stdout,
        )

    def settings(self) -> dict[str, Any]:
        """The options that are settings, by name; None: not given."""
        given = {
            name: getattr(self, name)
            for name in (
                "output_dir", "formats", "words", "language", "prompt", "temperature", "audit",
                "max_line_width", "max_lines", "channels", "engine", "model", "base_url",
                "concurrency", "chunk_duration", "max_chunk_mb", "upload_codec", "rate_limit",
                "retries", "outage_wait", "vad", "hallucinations",
            )
        }  # fmt: skip
        return given | {"output_dir": None} if self.to_stdout else given

    def flags(self) -> RunFlags:
        """The options that are no settings; raises UsageError for an invalid one."""
        from sttbatch.composition.effective_options import RunFlags

        if self.max_cost is not None and math.isnan(self.max_cost):
            raise UsageError("--max-cost nan is not a limit; give a number")
        if self.priority.upper() not in JobPriority.__members__:
            raise UsageError(f"--priority is high, medium or low, not {self.priority!r}")
        return RunFlags(
            self.audio_stream, self.force, self.overwrite, self.fail_fast, self.max_cost,
            self.dry_run, self.no_wait, JobPriority[self.priority.upper()],
        )  # fmt: skip

    def discover(self, command: str, settings: Settings) -> Discovery:
        """The recordings that are named to `command`, or are below what is named."""
        from sttbatch.composition.object_storage import objects_of
        from sttbatch.composition.setting_values import option_s
        from sttbatch.core.locations import Location, location
        from sttbatch.processing.discovery import discover, expand

        min_age_s = option_s("--min-age", self.min_age)
        named, listed = expand(self.paths or []), list[Location]()
        if self.files_from is not None:
            listed += map(location, _lines(self.files_from))
        if not named and self.files_from is None:
            raise UsageError(
                f"give at least one recording or folder; see sttbatch {command} --help"
            )
        return discover(named, min_age_s, objects_of(settings), listed)


def takes_transcribe_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command of typer whose first argument is `TranscribeOptions`; its own options follow."""
    hints = get_type_hints(command, include_extras=True)
    own = list(inspect.signature(command).parameters.values())[1:]
    shared = _parameters()
    names = [parameter.name for parameter in shared]

    def run(**given: Any) -> None:
        command(
            TranscribeOptions(**{name: given[name] for name in names}),
            **{parameter.name: given[parameter.name] for parameter in own},
        )

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        *shared,
        *(each.replace(kind=keyword, annotation=hints[each.name]) for each in own),
    ]
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


@cache
def _parameters() -> list[inspect.Parameter]:
    hints = get_type_hints(TranscribeOptions, include_extras=True)
    assert all(each.default is not MISSING for each in fields(TranscribeOptions))
    return [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=each.default,
            annotation=hints[each.name],
        )
        for each in fields(TranscribeOptions)
    ]


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

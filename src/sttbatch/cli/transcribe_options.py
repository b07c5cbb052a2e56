"""TranscribeOptions: the options that `transcribe`, `submit` and `watch` share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sttbatch.cli import options
from sttbatch.cli.batch_options import BatchOptions, Paths, level_of, limit_of_cost, with_options
from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.composition.effective_options import RunFlags
    from sttbatch.core.options import Task


@dataclass(frozen=True, slots=True)
class TranscribeOptions(BatchOptions):
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
    timestamps: options.Timestamps = None
    embed_audio: options.EmbedAudio = None
    replace: options.Replace = None
    overwrite: options.Overwrite = False
    glossary: options.Terms = None
    temperature: options.Temperature = None
    task: options.TaskName = "transcribe"
    channels: options.Channels = None
    audit: options.Audit = None
    vad: options.Vad = None
    hallucinations: options.Hallucinations = None
    model: options.Model = None
    base_url: options.BaseUrl = None
    device: options.Device = None
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

    def settings(self) -> dict[str, Any]:
        """The options that are settings, by name; None: not given."""
        given = {
            name: getattr(self, name)
            for name in (
                "output_dir", "formats", "words", "timestamps", "embed_audio", "language", "prompt",
                "temperature", "audit", "max_line_width", "max_lines", "channels", "engine",
                "model", "base_url", "device", "concurrency", "chunk_duration", "max_chunk_mb",
                "upload_codec", "rate_limit", "retries", "outage_wait", "vad", "hallucinations",
                "replace", "glossary",
            )
        }  # fmt: skip
        return given | {"output_dir": None} if self.to_stdout else given

    def flags(self) -> RunFlags:
        """The options that are no settings; raises UsageError for an invalid one."""
        from sttbatch.composition.effective_options import RunFlags

        return RunFlags(
            self.audio_stream, self.force, self.overwrite, self.fail_fast,
            limit_of_cost(self.max_cost), self.dry_run, self.no_wait, level_of(self.priority),
            _task(self.task),
        )  # fmt: skip


def _task(name: str) -> Task:
    from sttbatch.core.options import Task

    if name not in [*Task]:
        raise UsageError(f"--task is {' or '.join(Task)}, not {name!r}")
    return Task(name)


takes_transcribe_options = with_options(TranscribeOptions)

"""TranscriptionSpec: everything that is needed to transcribe a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.errors import MediaError, UsageError
from sttbatch.core.jobs import TRANSCRIPTION, JobSpec
from sttbatch.core.locations import FileStatus, location
from sttbatch.core.models import ConcurrencyLimit
from sttbatch.core.options import ChunkingOptions, OutputOptions, RequestOptions, RunOptions, Task
from sttbatch.processing.discovery import Candidate

VERSION = 2


class RunConfig(Struct, frozen=True):
    """The effective options of one run, by room."""

    request: RequestOptions
    chunking: ChunkingOptions
    outputs: OutputOptions
    run: RunOptions
    concurrency: ConcurrencyLimit


class TranscriptionSpec(Struct, frozen=True):
    """A recording, the request options, and the outputs; it contains no API key.

    Attributes:
        display_path: its path as the user gave it, maybe relative.
        path: the same path, absolute.
        root: absolute path of the folder that was walked; `display_root` as it was given.
        sha256: of the recording's content.
        audio_s: the length that its container declares, in seconds.
        outputs: with an absolute folder; None: beside the recording.
        gap_repair: whether sound that came back without words is sent again.
        gap_repair_share: maximum share of its duration that is sent again.
        price_per_second: of audio, in the currency of the price setting.
        vad: as in `RunOptions`.
    """

    display_path: str
    display_root: str
    path: str
    root: str
    sha256: str
    audio_s: float
    request: RequestOptions
    chunking: ChunkingOptions
    outputs: OutputOptions
    gap_repair: bool
    gap_repair_share: float
    price_per_second: float
    vad: bool = True

    @staticmethod
    def of(
        candidate: Candidate,
        sha256: str,
        audio_s: float,
        config: RunConfig,
        stream: int | None = None,
    ) -> TranscriptionSpec:
        """The spec of a recording in a run with `config`, whose audio `stream` was chosen."""
        chunking = config.chunking
        if stream is not None:
            chunking = replace(chunking, audio_stream=stream)
        directory = config.outputs.directory
        if directory is not None:
            directory = location(directory).absolute()
        return TranscriptionSpec(
            candidate.display_path,
            candidate.root,
            str(candidate.path.absolute()),
            str(location(candidate.root).absolute()),
            sha256,
            audio_s,
            config.request,
            chunking,
            replace(config.outputs, directory=directory),
            config.run.audit,
            config.run.audit_share,
            config.run.price_per_second,
            config.run.vad,
        )

    def to_job_spec(self) -> JobSpec:
        """The spec as JSON values; statistics read `recording` and `audio_s`."""
        payload = msgspec.to_builtins(self, enc_hook=str)
        payload["outputs"] = outputs_to_builtins(self.outputs)
        payload["recording"] = payload.pop("display_path")
        if self.request.task is Task.TRANSCRIBE:
            # As it was before there were others.
            del payload["request"]["task"]
        return JobSpec(TRANSCRIPTION, VERSION, payload)

    @staticmethod
    def from_job_spec(spec: JobSpec) -> TranscriptionSpec:
        """Parse a job's spec; raises UsageError if it is damaged, or of another version."""
        if spec.version < VERSION:
            raise UsageError(
                "the job was queued by an older version, or for a file that could not be read; "
                f"run `sttbatch transcribe` over {spec.title} again"
            )
        if spec.version > VERSION:
            raise UsageError("the job was queued by a newer version; upgrade sttbatch")
        payload = {**spec.payload, "display_path": spec.payload.get("recording")}
        try:
            return msgspec.convert(payload, TranscriptionSpec, dec_hook=lambda _, of: location(of))
        except msgspec.ValidationError as error:
            raise UsageError(
                f"the job's record is damaged ({error}); run `sttbatch transcribe` over "
                f"{spec.title or 'its recording'} again"
            ) from error

    def run_config(self, config: RunConfig) -> RunConfig:
        """The options to run this job alone, in a process with `config`."""
        run = replace(
            config.run,
            price_per_second=self.price_per_second,
            audit=self.gap_repair,
            audit_share=self.gap_repair_share,
            vad=self.vad,
        )
        return RunConfig(self.request, self.chunking, self.outputs, run, config.concurrency)

    def candidate(self, status: FileStatus | None = None) -> Candidate:
        """As `queued_candidate`."""
        return queued_candidate(self, status)


class QueuedRecording(Protocol):
    """A recording as a job's spec names it; the attributes are those of `TranscriptionSpec`."""

    @property
    def display_path(self) -> str: ...
    @property
    def display_root(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def root(self) -> str: ...


def queued_candidate(queued: QueuedRecording, status: FileStatus | None = None) -> Candidate:
    """The recording as a candidate; raises MediaError if it cannot be read.

    Its display path is that of the queued job, if it is the same file in this folder. `status` is
    that of an object.
    """
    try:
        status = status or Path(queued.path).stat()
    except OSError as error:
        raise MediaError(f"it cannot be read: {error.strerror}") from error
    if str(location(queued.display_path).absolute()) == queued.path:
        return Candidate(queued.display_path, queued.display_root, True, status)
    return Candidate(queued.path, queued.root, True, status)


def outputs_to_builtins(options: OutputOptions) -> dict[str, Any]:
    """Output options as JSON values; without what earlier versions did not have, unless given."""
    values: dict[str, Any] = msgspec.to_builtins(options, enc_hook=str)
    if options.public_base_url is None:
        del values["public_base_url"]
    if not options.timestamps:
        del values["timestamps"]
    if not options.embed_audio:
        del values["embed_audio"]
    if not options.rules:
        del values["rules"]
    return values

"""LanguageSpec: everything that is needed to run a task over one recording's transcript."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import JobSpec
from sttbatch.core.language_models import TOKENS
from sttbatch.core.locations import FileStatus, location
from sttbatch.core.options import ChunkingOptions, OutputOptions, RequestOptions
from sttbatch.kinds.transcription.spec import RunConfig, outputs_to_builtins, queued_candidate
from sttbatch.processing.discovery import Candidate

VERSION = 2
"""As of the specs of transcriptions; 1 is of those that cannot be run by their id."""


class Recognition(Struct, frozen=True):
    """How a recording is transcribed that has no transcript; the fields as in `RunConfig`."""

    request: RequestOptions
    chunking: ChunkingOptions
    audit: bool
    audit_share: float
    vad: bool
    price_per_second: float

    @staticmethod
    def of(config: RunConfig) -> Recognition:
        run = config.run
        return Recognition(
            config.request,
            config.chunking,
            run.audit,
            run.audit_share,
            run.vad,
            run.price_per_second,
        )

    def run_config(self, config: RunConfig) -> RunConfig:
        """The options to transcribe in a process with `config`."""
        run = replace(
            config.run,
            audit=self.audit,
            audit_share=self.audit_share,
            vad=self.vad,
            price_per_second=self.price_per_second,
        )
        return replace(config, request=self.request, chunking=self.chunking, run=run)


class LanguageSpec(Struct, frozen=True):
    """A recording, the options of the task, and the outputs; it contains no API key.

    Attributes:
        display_path, display_root, path, root, sha256: as in `TranscriptionSpec`.
        origin: of the server of language models.
        options: of the task, which its kind understands.
        recognition: None: it has a transcript, or fails.
        outputs: with an absolute folder; None: beside the recording.
    """

    display_path: str
    display_root: str
    path: str
    root: str
    sha256: str
    origin: str
    model: str
    options: Mapping[str, Any]
    outputs: OutputOptions
    recognition: Recognition | None = None

    @staticmethod
    def of(
        candidate: Candidate,
        sha256: str,
        origin: str,
        model: str,
        options: Mapping[str, Any],
        outputs: OutputOptions,
        recognition: Recognition | None = None,
    ) -> LanguageSpec:
        """The spec of a recording in a run."""
        if outputs.directory is not None:
            outputs = replace(outputs, directory=location(outputs.directory).absolute())
        return LanguageSpec(
            candidate.display_path,
            candidate.root,
            str(candidate.path.absolute()),
            str(location(candidate.root).absolute()),
            sha256,
            origin,
            model,
            options,
            outputs,
            recognition,
        )

    def to_job_spec(self, kind: str, tokens: float) -> JobSpec:
        """The spec as JSON values; statistics read `recording`, `unit` and `quantity`."""
        payload = msgspec.to_builtins(self, enc_hook=str)
        payload["outputs"] = outputs_to_builtins(self.outputs)
        payload["recording"] = payload.pop("display_path")
        return JobSpec(kind, VERSION, payload | {"unit": TOKENS, "quantity": tokens})

    @staticmethod
    def from_job_spec(spec: JobSpec) -> LanguageSpec:
        """Parse a job's spec; raises UsageError if it is damaged, or of another version."""
        if spec.version > VERSION:
            raise UsageError("the job was queued by a newer version; upgrade sttbatch")
        payload = {**spec.payload, "display_path": spec.payload.get("recording")}
        try:
            return msgspec.convert(payload, LanguageSpec, dec_hook=lambda _, of: location(of))
        except msgspec.ValidationError as error:
            raise UsageError(
                f"the job's record is damaged ({error}); run the command again over "
                f"{spec.title or 'its recording'}"
            ) from error

    def candidate(self, status: FileStatus | None = None) -> Candidate:
        """As `queued_candidate`."""
        return queued_candidate(self, status)

"""TextJob: a recording's text and its state in a run; LanguageConfig: the options of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

from sttbatch.core.errors import SttbatchError, is_hindrance
from sttbatch.core.jobs import Claim, JobPriority
from sttbatch.core.options import OutputOptions
from sttbatch.kinds.language.spec import Recognition
from sttbatch.kinds.language.spoken_text import RecordingText
from sttbatch.processing.discovery import Candidate


@dataclass(slots=True, eq=False)
class TextJob:
    """A recording's text and its state in the run; copies of the same content are one job.

    Attributes:
        result_key: of what the task makes of it.
        audio_s: the recording's length.
        sent: whether a question had to be sent for it.
        is_ended: it is reported.
    """

    copies: list[Candidate]
    text: RecordingText
    result_key: str = ""
    audio_s: float = 0.0
    tokens: float = 0.0
    id: str = ""
    priority: JobPriority = JobPriority.MEDIUM
    claim: Claim | None = None
    error: SttbatchError | None = None
    hindered: bool = False
    sent: bool = False
    is_ended: bool = False

    def fail(self, error: SttbatchError) -> None:
        if self.error is None:
            self.error = error
            self.hindered |= is_hindrance(error)

    def interrupt(self) -> None:
        """Nothing is to be noted: what has no error and has not ended is left."""

    @property
    def display_path(self) -> str:
        return self.copies[0].display_path


class LanguageConfig(Struct, frozen=True):
    """The options of one run over transcripts.

    Attributes:
        origin: of the server of language models.
        outputs: their formats are those of the task.
        recognition: how recordings without a transcript are transcribed; None: they fail.
        force: ask again what is stored.
        no_wait: skip what another run is processing.
        job_retries: how many later runs try a recording again that failed.
    """

    origin: str
    outputs: OutputOptions
    recognition: Recognition | None = None
    force: bool = False
    no_wait: bool = False
    job_retries: int = 3
    priority: JobPriority = JobPriority.MEDIUM


def jobs_of(texts: Sequence[RecordingText]) -> list[TextJob]:
    """A job for each content."""
    jobs: dict[str, TextJob] = {}
    for text in texts:
        jobs.setdefault(text.sha256, TextJob([], text)).copies.append(text.candidate)
    return list(jobs.values())

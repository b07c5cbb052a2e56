"""The report of a run, built from its events."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Struct

from sttbatch.core import events
from sttbatch.core.errors import SttbatchError


class Outcome(StrEnum):
    """How one recording ends in a run.

    LEFT: the run ended first; the next one continues. TAKEN: another run is processing it.
    CANCELLED: by a user, after the run had queued it.
    """

    DONE = "done"
    FAILED = "failed"
    LEFT = "left"
    TAKEN = "taken"
    CANCELLED = "cancelled"


SKIPPED = {
    Outcome.LEFT: "the run ended before it was done",
    Outcome.TAKEN: "another run is working on it",
    Outcome.CANCELLED: "it was cancelled; `sttbatch jobs retry` queues it again",
}
"""Why a recording was not processed, which is no failure."""


class RecordingReport(Struct, frozen=True):
    """How one recording ended.

    Attributes:
        cached: nothing had to be sent for it.
        outputs: paths of the files that contain its transcript.
        kept: existing files that were not overwritten.
    """

    display_path: str
    outcome: Outcome
    audio_s: float = 0.0
    cached: bool = False
    reason: str = ""
    outputs: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(slots=True)
class BatchReport:
    """A listener of one run: how each recording ended, and what the run cost.

    Attributes:
        sent: requests that were answered.
        tokens: of questions to language models, and of their answers.
        cost: of this run, in the currency of the price setting; possibly billed ones included.
        gaps: spans without words in what this run wrote, by their reason.
        dropped: segments that nobody spoke in what this run wrote.
        replaced: places that rules have changed in what this run wrote.
        fatal: why the run ended early.
    """

    recordings: list[RecordingReport] = field(default_factory=list)
    skipped: int = 0
    recently_modified: int = 0
    sent: int = 0
    tokens: int = 0
    cost: float = 0.0
    maybe_paid: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    replaced: int = 0
    fatal: SttbatchError | None = None
    _written: dict[str, events.FileProcessingCompleted] = field(default_factory=dict)

    def __call__(self, event: events.Event) -> None:
        match event:
            # The most frequent ones first: there may be many thousand at once.
            case events.FileProcessingCompleted():
                self._written[event.recording] = event
                self.gaps.update(event.gaps)
                self.dropped += event.dropped
                self.replaced += event.replaced
            case events.JobCompleted(recording, audio_s, cached, _):
                self._add(recording, Outcome.DONE, audio_s, "", cached=cached)
            case events.APIRequestCompleted():
                self.sent += event.error is None
                self.cost += event.cost
                self.maybe_paid += event.maybe_paid
            case events.QuestionAnswered(_, _, prompt_tokens, generated_tokens):
                self.tokens += prompt_tokens + generated_tokens
            case events.JobFailed(recording, audio_s, reason):
                self._add(recording, Outcome.FAILED, audio_s, reason)
            case events.JobSkipped(recording, audio_s, outcome, reason):
                self._add(recording, Outcome(outcome), audio_s, reason)
            case events.FilesSkipped(_, skipped, recently_modified):
                self.skipped, self.recently_modified = skipped, recently_modified
            case events.RunStopped(_, error):
                self.fatal = error

    @property
    def is_incomplete(self) -> bool:
        """Whether a recording failed or was left."""
        return bool(self.count(Outcome.FAILED) or self.count(Outcome.LEFT))

    def count(self, outcome: Outcome) -> int:
        return sum(each.outcome is outcome for each in self.recordings)

    @property
    def from_cache(self) -> int:
        """Number of done recordings that needed no request."""
        return sum(each.cached and each.outcome is Outcome.DONE for each in self.recordings)

    @property
    def audio_s(self) -> float:
        """Seconds of audio in done recordings."""
        return sum(each.audio_s for each in self.recordings if each.outcome is Outcome.DONE)

    def _add(
        self, path: str, outcome: Outcome, audio_s: float, reason: str, *, cached: bool = False
    ) -> None:
        # Its outputs, if any, are in an earlier event.
        written = self._written.pop(path, None)
        files = (written.outputs, written.kept) if written is not None else ()
        self.recordings.append(RecordingReport(path, outcome, audio_s, cached, reason, *files))


class BatchForecast(Struct, frozen=True):
    """What a batch would need.

    Attributes:
        expected_s: wall seconds from the first chunk to the last answer.
        samples: number of earlier requests that this is estimated from; 0: a guess.
    """

    recordings: tuple[Forecast, ...]
    expected_s: float
    samples: int


class Forecast(Struct, frozen=True):
    """What a recording would need; `reason` says how its chunks are sized."""

    display_path: str
    audio_s: float
    chunks: int
    cost: float
    reason: str

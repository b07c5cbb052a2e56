"""What became of a batch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from sttbatch.core.errors import SttbatchError
from sttbatch.core.models import GapReason


class Outcome(StrEnum):
    """Of one recording. LEFT: the run ended first; running again goes on. TAKEN: by another run."""

    DONE = "done"
    FAILED = "failed"
    LEFT = "left"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class RecordingReport:
    """One recording's end.

    Attributes:
        cached: nothing had to be sent for it.
        outputs: paths that now hold its transcript.
        kept: files in an output's place that are not ours to overwrite.
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
    """All of them, and what the run cost.

    Attributes:
        sent: chunks that were sent and answered.
        from_cache: chunks whose words were there already.
        cost: of this run, in the currency of the price setting; maybe paid posts included.
        gaps: stretches without words in what this run wrote, by their reason.
        fatal: why the run ended early.
    """

    recordings: list[RecordingReport] = field(default_factory=list)
    skipped: int = 0
    too_young: int = 0
    sent: int = 0
    sent_audio_s: float = 0.0
    from_cache: int = 0
    cost: float = 0.0
    maybe_paid: int = 0
    gaps: Counter[GapReason] = field(default_factory=Counter)
    fatal: SttbatchError | None = None

    def count(self, outcome: Outcome) -> int:
        return sum(each.outcome is outcome for each in self.recordings)

    @property
    def audio_s(self) -> float:
        """Seconds of audio in recordings that are done."""
        return sum(each.audio_s for each in self.recordings if each.outcome is Outcome.DONE)


@dataclass(frozen=True, slots=True)
class BatchForecast:
    """What a batch would need.

    Attributes:
        expected_s: wall seconds from the first chunk to the last answer.
        samples: earlier requests that is estimated from; 0: a guess.
    """

    recordings: tuple[Forecast, ...]
    expected_s: float
    samples: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a recording would need: seconds of audio, chunks, and how they would be cut."""

    display_path: str
    audio_s: float
    chunks: int
    cost: float
    reason: str

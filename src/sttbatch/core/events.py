"""What happened, for whoever listens: progress display, log, metrics. Seconds throughout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sttbatch.core.models import LatencyModel


@dataclass(frozen=True, slots=True)
class Event:
    """The root; `recording` is the path as the user gave it."""

    recording: str


@dataclass(frozen=True, slots=True)
class JobQueued(Event):
    """A recording has work left; `audio_s` is what its container declares."""

    audio_s: float


@dataclass(frozen=True, slots=True)
class BatchPlanned(Event):
    """What the run expects to send, before its first chunk; `recording` is empty.

    Attributes:
        audio_s: left to send, and in how many `chunks`.
        expected_s: wall seconds from the first chunk to the last answer.
        latency: what that was estimated with.
    """

    audio_s: float
    chunks: int
    expected_s: float
    latency: LatencyModel


@dataclass(frozen=True, slots=True)
class JobStarted(Event):
    """Its first chunk is being cut; `job` is its id in the queue."""

    job: str


@dataclass(frozen=True, slots=True)
class ChunkPrepared(Event):
    """A chunk was cut and encoded, which took `preparation_s` of wall time."""

    index: int
    audio_s: float
    preparation_s: float


@dataclass(frozen=True, slots=True)
class ChunkProcessingStarted(Event):
    """A chunk has a lane, for which it waited `queue_wait_s` since it was cut and claimed."""

    index: int
    audio_s: float
    queue_wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ChunkProcessingCompleted(Event):
    """A chunk's words are stored; `cached`: nothing was sent for them."""

    index: int
    audio_s: float
    cached: bool


@dataclass(frozen=True, slots=True)
class ChunkProcessingFailed(Event):
    """A chunk got no words; its siblings go on."""

    index: int
    audio_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class ChunkAudited(Event):
    """A chunk's answer was listened to, and what it lacked was asked for again.

    Attributes:
        filled, no_speech, refused, still_missing: what became of its gaps; the sum is what was
            found.
        loops: segments that repeated one phrase.
        unfounded: segments with words where there is no sound.
        asked_s: seconds of audio that were asked for again.
    """

    index: int
    filled: int
    no_speech: int
    refused: int
    still_missing: int
    loops: int
    unfounded: int
    asked_s: float

    @property
    def found(self) -> int:
        """Gaps: sound without words."""
        return self.filled + self.no_speech + self.refused + self.still_missing


@dataclass(frozen=True, slots=True)
class CacheLookup(Event):
    """A lookup; `level` is None for a miss.

    Attributes:
        count: more than 1 where many were looked up at once; then `key` and `recording` are empty.
    """

    key: str
    level: str | None
    count: int = 1


@dataclass(frozen=True, slots=True)
class APIRequestCompleted(Event):
    """One post; `status` is None when no answer came, `rate_wait_s` came before it was sent.

    Attributes:
        audio_s: seconds of audio in it.
    """

    index: int
    status: int | None
    latency_s: float
    sent_bytes: int
    attempt: int
    maybe_paid: bool
    error: str | None
    request_id: str | None
    rate_wait_s: float = 0.0
    audio_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ConnectionsClosed(Event):
    """The run needs its connections no more; how many there were, and how often used again."""

    opened: int
    reused: int
    replaced: int


@dataclass(frozen=True, slots=True)
class ChunkSplit(Event):
    """A chunk's post will be repeated."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class FileProcessingCompleted(Event):
    """A recording's outputs are written."""

    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobCompleted(Event):
    """A recording is done; `cached`: nothing had to be sent."""

    audio_s: float
    cached: bool


@dataclass(frozen=True, slots=True)
class JobFailed(Event):
    """A recording is not, or not wholly, transcribed."""

    audio_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something the user should know that stops nothing; `recording` may be empty."""

    message: str


@dataclass(frozen=True, slots=True)
class ConcurrencyChanged(Event):
    """`-j auto` sends more or fewer chunks at once; `recording` is empty."""

    old: int
    new: int
    reason: str


@dataclass(frozen=True, slots=True)
class AlertTriggered(Event):
    """A condition of the user's came to hold; once per incident. `recording` is empty.

    Attributes:
        alert: the rule's name.
        value: of the metric over the last `window_s` seconds.
        comparison: of value and threshold: > >= < <= =.
        severity: info, warning or critical.
        notify: log, webhook or log,webhook.
    """

    alert: str
    metric: str
    value: float
    comparison: str
    threshold: float
    window_s: float
    severity: str
    notify: str


Emit = Callable[[Event], None]

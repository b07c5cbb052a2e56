"""Events of a run, for report, progress display, log and metrics. Durations are in seconds.

`index` is a chunk's ordinal in its recording. A piece of a chunk that is sent alone has the
chunk's `index` and a name as `piece`: `2` of a chunk that was too large, `gap-2` of its gaps.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from sttbatch.core.engine import APIRequest
from sttbatch.core.errors import SttbatchError
from sttbatch.core.models import LatencyModel


class Event(Struct, frozen=True):
    """The base of all events; `recording` is the path as the user gave it."""

    recording: str


class FilesSkipped(Event, frozen=True):
    """Numbers of files without audio and of files that `--min-age` skips; `recording` is empty."""

    skipped: int
    too_young: int


class JobQueued(Event, frozen=True):
    """A recording has chunks to process; `audio_s` is the length that its container declares."""

    audio_s: float


class BatchPlanned(Event, frozen=True):
    """What the run expects to send, before its first chunk; `recording` is empty.

    Attributes:
        audio_s: to be sent in `chunks`.
        expected_s: wall seconds from the first chunk to the last answer.
        latency: the model that this was estimated with.
    """

    audio_s: float
    chunks: int
    expected_s: float
    latency: LatencyModel


class JobStarted(Event, frozen=True):
    """Its first chunk is being cut, or its first question asked.

    `job` is its id in the queue, `kind` that of the job.
    """

    job: str
    kind: str = "transcription"


class ChunkPrepared(Event, frozen=True):
    """A chunk was cut and encoded, which took `preparation_s` of wall time."""

    index: int
    audio_s: float
    preparation_s: float


class ChunkProcessingStarted(Event, frozen=True):
    """A chunk has a lane, for which it waited `queue_wait_s` since it was cut and claimed."""

    index: int
    audio_s: float
    queue_wait_s: float = 0.0
    piece: str | None = None


class ChunkProcessingCompleted(Event, frozen=True):
    """A chunk's words are stored; `cached`: nothing was sent for them."""

    index: int
    audio_s: float
    cached: bool
    piece: str | None = None


class ChunkProcessingFailed(Event, frozen=True):
    """A chunk got no words; the other chunks continue."""

    index: int
    audio_s: float
    reason: str
    piece: str | None = None


class ChunkAudited(Event, frozen=True):
    """A chunk's answer was checked for gaps, which were sent again.

    Attributes:
        filled, no_speech, refused, still_missing: numbers of gaps by their outcome.
        loops: segments that repeated one phrase.
        unfounded: segments with words that nobody spoke.
        asked_s: seconds of audio that were sent again.
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
    def gaps(self) -> int:
        """Spans of sound without words."""
        return self.filled + self.no_speech + self.refused + self.still_missing


class AnswerStored(Event, frozen=True):
    """The words of a request, and what it cost, are in the ledger, which took `store_s`."""

    index: int
    store_s: float
    piece: str | None = None


class CacheLookup(Event, frozen=True):
    """A cache lookup, or `count` without `key` and `recording`; `level` is None for a miss."""

    key: str
    level: str | None
    count: int = 1


class APIRequestCompleted(Event, frozen=True):
    """One request ended; `status` is None when no answer came.

    Attributes:
        rate_wait_s: seconds that it waited for the rate limit before it was sent.
        audio_s: seconds of audio in it.
        cost: of an answered or possibly billed request, in the currency of the price setting.
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
    cost: float = 0.0
    piece: str | None = None

    @staticmethod
    def of(
        recording: str, index: int, request: APIRequest, cost: float, piece: str | None = None
    ) -> APIRequestCompleted:
        """The event of a request that was sent for chunk or question `index`."""
        return APIRequestCompleted(
            recording,
            index,
            request.status,
            request.latency_s,
            request.sent_bytes,
            request.attempt,
            request.maybe_paid,
            request.error,
            request.request_id,
            request.rate_wait_s,
            request.audio_s,
            cost,
            piece,
        )


class QuestionAnswered(Event, frozen=True):
    """A language model has answered; its tokens as they are billed."""

    index: int
    prompt_tokens: int
    generated_tokens: int


class ConnectionsClosed(Event, frozen=True):
    """The run closed its connections; `reused` counts requests on open ones."""

    opened: int
    reused: int
    replaced: int


class ChunkSplit(Event, frozen=True):
    """A chunk is too large for the endpoint and is sent in pieces."""

    index: int
    reason: str


class JobRetryScheduled(Event, frozen=True):
    """A job that failed or was released for a `reason`, in this run or another, is tried again."""

    retry_count: int
    reason: str


class TranscriptMerged(Event, frozen=True):
    """All chunks of a recording are merged into one transcript, which took `merge_s`."""

    merge_s: float


class OutputsWritten(Event, frozen=True):
    """A recording's outputs are written, those that are up to date excepted, in `write_s`."""

    write_s: float


class FileProcessingCompleted(Event, frozen=True):
    """A recording's outputs are written.

    `kept` are files in an output's place that are not ours to overwrite, `gaps` the reason of each
    span without words, `dropped` the number of segments that nobody spoke, or
    of statements that nobody made, `replaced` the number of places that rules have changed.
    """

    outputs: tuple[str, ...]
    kept: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    dropped: int = 0
    replaced: int = 0


TRANSCRIBED = "transcribed"


class JobCompleted(Event, frozen=True):
    """A recording is done; `cached`: nothing had to be sent. `how`: what was done."""

    audio_s: float
    cached: bool
    how: str = TRANSCRIBED


class JobFailed(Event, frozen=True):
    """A recording is not, or not wholly, transcribed."""

    audio_s: float
    reason: str


class JobSkipped(Event, frozen=True):
    """A recording that the run did not process: left, taken (by another run) or cancelled."""

    audio_s: float
    outcome: str
    reason: str


class RunStopped(Event, frozen=True):
    """The run ends early, for a reason that concerns every recording; `recording` is empty."""

    error: SttbatchError


class Warned(Event, frozen=True):
    """A warning for the user; `recording` may be empty."""

    message: str


class MetricsServed(Event, frozen=True):
    """A worker serves Prometheus at a port; `recording` is empty."""

    port: int


class ConcurrencyChanged(Event, frozen=True):
    """`-j auto` sends more or fewer chunks at once; `recording` is empty."""

    old: int
    new: int
    reason: str


class AlertTriggered(Event, frozen=True):
    """An alert's condition holds; emitted once per incident. `recording` is empty.

    Attributes:
        alert: the rule's name.
        value: of the metric over the last `window_s` seconds.
        comparison: of value and threshold: > >= < <= =.
        severity: info, warning or critical.
        notify: log, webhook or log,webhook.
        kind: of the requests or jobs that count; None: all.
    """

    alert: str
    metric: str
    value: float
    comparison: str
    threshold: float
    window_s: float
    severity: str
    notify: str
    kind: str | None = None


Emit = Callable[[Event], None]

"""All errors that sttbatch raises on purpose, with their exit codes.

Messages say what happened and what to do. A `RecordingError` does not name the file.
"""

from __future__ import annotations


class SttbatchError(Exception):
    """The base of all errors."""


class UsageError(SttbatchError):
    """The command line, a setting, the key or the model is wrong; nothing was paid (exit 2)."""


class ExtraMissing(UsageError):
    """A setting needs packages that are not installed; the message says which."""


class RecordingError(SttbatchError):
    """One recording fails; the others continue (exit 1)."""


class MediaError(RecordingError):
    """A recording cannot be read, decoded or cut."""


class NoAudioError(MediaError):
    """A file has no audio stream that can be transcribed."""


class MediaWorkerDied(MediaError):
    """The process that decoded a recording crashed, hung or exceeded its limits."""


class Hindered(RecordingError):
    """A recording failed for a reason that is not its own, such as a full disk."""


class ObjectRefused(RecordingError):
    """The object storage refuses a request, such as for its key or its bucket."""


class ObjectsUnreachable(Hindered):
    """The object storage does not answer."""


class MediaHindered(Hindered, MediaError):
    """A media worker cannot be started, or has no space for the chunks it cuts."""


class RetryLater(Hindered):
    """The endpoint asks for a wait of more than two minutes."""


class RecordingRefused(RecordingError):
    """The endpoint forbids this recording; if it forbids the next one too, it refuses all."""


class ChunkError(SttbatchError):
    """One chunk got no transcript; the other chunks continue (exit 1)."""


class ChunkRefused(ChunkError):
    """The endpoint rejects this chunk alone, and retrying will not help."""


class ChunkHindered(ChunkError):
    """A chunk failed for a reason that is not its own, such as a rate limit."""


class ChunkTooLarge(ChunkError):
    """The chunk has to be sent in smaller pieces.

    `max_piece_s` is the longest piece worth trying, in seconds; None: half of the chunk.
    """

    def __init__(self, message: str, max_piece_s: float | None = None) -> None:
        super().__init__(message)
        self.max_piece_s = max_piece_s


class EndpointError(SttbatchError):
    """The endpoint cannot be used for any recording."""


class EndpointRefused(EndpointError):
    """The endpoint refuses the key, the quota or the address; nothing more is sent (exit 3)."""


class EndpointUnreachable(EndpointError):
    """The endpoint did not recover within `--outage-wait` (exit 1)."""


class BudgetReached(SttbatchError):
    """Sending more would exceed a budget (exit 4)."""


class NotificationError(SttbatchError):
    """A webhook or a Pushgateway did not accept a message (exit 1); no run fails for it."""


class StateError(SttbatchError):
    """The ledger or a folder of state cannot be used (exit 1)."""


class CacheUnreachable(StateError):
    """A server that holds copies of results does not answer; no result is lost."""


class BrokerUnreachable(StateError):
    """The broker that tells workers of jobs cannot be reached."""


class WorkerReaped(StateError):
    """Another process took this one for dead, and what it held is free (exit 1)."""

    def __init__(self) -> None:
        super().__init__(
            "this process was taken for dead by another: it sends nothing more; "
            "run it again to continue"
        )


class Stopped(SttbatchError):
    """The run stopped, by a signal or another failure, before a request was sent."""


def is_hindrance(error: SttbatchError) -> bool:
    """Whether a recording failed with `error` for a reason that is not its own."""
    if isinstance(error, RecordingError | ChunkError):
        return isinstance(error, Hindered | ChunkHindered)
    return True

"""Everything sttbatch raises on purpose, and the exit code that it leads to.

Messages say what happened and what to do. `RecordingError`s do not name the file: whoever
catches them knows it.
"""

from __future__ import annotations


class SttbatchError(Exception):
    """The root of all of them."""


class UsageError(SttbatchError):
    """The command line, a setting or the key is wrong; nothing was sent (exit 2)."""


class RecordingError(SttbatchError):
    """One recording cannot go on; the others do (exit 1)."""


class MediaError(RecordingError):
    """A recording cannot be read, decoded or cut."""


class NoAudioError(MediaError):
    """A file holds no audio stream that could be transcribed."""


class WorkerDied(MediaError):
    """The process that decoded a recording crashed, hung or outgrew its limits."""


class RetryLater(RecordingError):
    """The endpoint asks to come back in more than two minutes."""


class RecordingRefused(RecordingError):
    """The endpoint forbids this recording; where it forbids the next one too, it refuses us."""


class ChunkError(SttbatchError):
    """One chunk got no transcript; its siblings go on (exit 1)."""


class ChunkRefused(ChunkError):
    """The endpoint takes everything but this chunk, and would not take it later either."""


class ChunkTooLarge(ChunkError):
    """The endpoint would take, or time, smaller pieces only.

    Attributes:
        max_piece_s: the longest piece worth trying, in seconds; None: half of the chunk.
    """

    def __init__(self, message: str, max_piece_s: float | None = None) -> None:
        super().__init__(message)
        self.max_piece_s = max_piece_s


class EndpointError(SttbatchError):
    """The endpoint as a whole does not serve us."""


class EndpointRefused(EndpointError):
    """The endpoint refuses us: key, permission, quota or address; nothing more is sent (exit 3)."""


class EndpointUnreachable(EndpointError):
    """The endpoint stayed away for longer than `--outage-wait` (exit 1)."""


class BudgetReached(SttbatchError):
    """Sending more would cost more than this run may (exit 4)."""


class NotificationError(SttbatchError):
    """A webhook or a Pushgateway did not take what it was told (exit 1); no run fails for it."""


class StateError(SttbatchError):
    """The ledger or a folder of state cannot be used (exit 1)."""


class Stopped(SttbatchError):
    """A signal, or what a sibling met, ended the wait; what waited was not sent."""

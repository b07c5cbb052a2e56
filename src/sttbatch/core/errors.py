"""Everything sttbatch raises on purpose.

    SttbatchError
    ├── UsageError              the command line, a setting or the key: nothing was sent (exit 2)
    ├── RecordingError          one recording cannot go on; the others do (exit 1)
    │   ├── MediaError          it cannot be read, decoded or cut
    │   │   ├── NoAudioError    it is no recording at all
    │   │   └── WorkerDied      the decoder crashed, hung or outgrew its limits
    │   └── RetryLater          the endpoint asks to come back in more than two minutes
    ├── ChunkError              one chunk got no transcript; its siblings go on (exit 1)
    │   ├── ChunkRefused        the endpoint would refuse it again
    │   └── ChunkTooLarge       smaller pieces of it may pass
    ├── EndpointError           the endpoint as a whole
    │   ├── EndpointRefused     401, 403, quota: nothing more is sent (exit 3)
    │   └── EndpointUnreachable gone for longer than --outage-wait (exit 1)
    ├── BudgetReached           sending more would cost more than allowed (exit 4)
    ├── NotificationError       a webhook or Pushgateway did not take what it was told (exit 1)
    ├── StateError              the ledger or a folder of state cannot be used (exit 1)
    └── Stopped                 a signal or a sibling's refusal ended the wait

Messages say what happened and what to do. `RecordingError`s do not name the file: whoever
catches them knows it.
"""

from __future__ import annotations


class SttbatchError(Exception):
    """The root of the tree above."""


class UsageError(SttbatchError):
    """The command line, a setting or the key is wrong; nothing was sent."""


class RecordingError(SttbatchError):
    """One recording cannot go on; the others do."""


class MediaError(RecordingError):
    """A recording cannot be read, decoded or cut."""


class NoAudioError(MediaError):
    """A file holds no audio stream that could be transcribed."""


class WorkerDied(MediaError):
    """The process that decoded a recording crashed, hung or outgrew its limits."""


class RetryLater(RecordingError):
    """The endpoint names a wait that is too long to sit out."""


class ChunkError(SttbatchError):
    """One chunk got no transcript."""


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
    """The endpoint refuses us: key, permission, quota or address."""


class EndpointUnreachable(EndpointError):
    """The endpoint stayed away for longer than the outage wait."""


class BudgetReached(SttbatchError):
    """Sending more would cost more than this run may."""


class NotificationError(SttbatchError):
    """A webhook or a Pushgateway did not take what it was told; no run fails for it."""


class StateError(SttbatchError):
    """The ledger or a folder of state cannot be used."""


class Stopped(SttbatchError):
    """The run is ending; what waited was not sent."""

"""What a rate limit has given out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class RateState:
    """What a rate limit has given out so far; times are seconds of the clock of its store.

    Attributes:
        next_at: the theoretical arrival time of the next request.
        audio_next_at: the same for audio.
        not_before: the endpoint wants no request before it.
        sends: slots of the last minute and the seconds of audio sent in each, where audio is
            limited.
    """

    next_at: float = 0.0
    audio_next_at: float = 0.0
    not_before: float = 0.0
    sends: list[tuple[float, float]] = field(default_factory=list)

"""What a request consumes of an engine, whatever kind of job it is for."""

from __future__ import annotations

from dataclasses import dataclass

AUDIO_SECONDS = "audio_seconds"


@dataclass(frozen=True, slots=True)
class Usage:
    """A quantity in the unit that is billed, such as seconds of audio or tokens."""

    unit: str
    quantity: float

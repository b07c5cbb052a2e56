"""A test endpoint that speaks Cloud.ru's API for real, and recordings that say what is in them."""

from .answers import Style
from .faults import (
    Choice,
    Fault,
    Fin,
    Goaway,
    Hang,
    NotJson,
    ResetStream,
    Status,
    Truncated,
    always,
    before_body,
    in_turn,
    times_per_chunk,
    twice_per_chunk,
)
from .log import Received
from .models import Asked, Said
from .server import CloudRu
from .service import KEY
from .tones import Heard, HeardWord, NotAudioError, hear, make_recording

__all__ = [
    "KEY",
    "Asked",
    "Choice",
    "CloudRu",
    "Fault",
    "Fin",
    "Goaway",
    "Hang",
    "Heard",
    "HeardWord",
    "NotAudioError",
    "NotJson",
    "Received",
    "ResetStream",
    "Said",
    "Status",
    "Style",
    "Truncated",
    "always",
    "before_body",
    "hear",
    "in_turn",
    "make_recording",
    "times_per_chunk",
    "twice_per_chunk",
]

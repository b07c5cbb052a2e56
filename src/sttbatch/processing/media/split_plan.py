"""What a media worker is told about how to cut; free of av, so that the parent can import it."""

from __future__ import annotations

from dataclasses import dataclass

from sttbatch.core.models import MIXED, CutPoint, UploadCodec


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """How to cut one recording.

    Attributes:
        target_s: what a chunk should last.
        max_piece_s: what it may last at most; None: only its size is limited.
        max_bytes: of an upload's file.
        declared_s: the container's duration, planned with until the real end is seen; 0: unknown.
        channel: the one to cut, counted from 1; `MIXED`: all of them together.
        kept: stretches, in order and apart, that already have their words.
        exact: stretches, in order and apart from each other and from `kept`, that are cut whole,
            whatever the limits say.
        only_exact: nothing but these is cut, and to the sample.
    """

    target_s: float
    max_bytes: int
    codec: UploadCodec
    declared_s: float = 0.0
    max_piece_s: float | None = None
    kept: tuple[tuple[CutPoint, CutPoint], ...] = ()
    channel: int = MIXED
    exact: tuple[tuple[CutPoint, CutPoint], ...] = ()
    only_exact: bool = False

"""The plan by which a media worker cuts; free of av, so that the parent can import it."""

from __future__ import annotations

from dataclasses import dataclass

from sttbatch.core.models import MIXED, CutPoint, UploadCodec


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """How to cut one recording.

    Attributes:
        target_s: the target duration of a chunk.
        max_bytes: the largest size of an upload's file.
        declared_s: the container's duration, which holds until the real end is read; 0: unknown.
        max_piece_s: the longest duration of a chunk; None: only its size is limited.
        kept: spans, in order and disjoint, that are transcribed already.
        channel: the one to cut, counted from 1; `MIXED`: all of them together.
        exact: spans, in order and disjoint, also from `kept`, that are cut as a whole, whatever
            the limits say.
        only_exact: cut nothing but these, and to the sample.
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

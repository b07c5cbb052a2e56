"""A transcript comes back from what is stored of it, in this form and the one before."""

from __future__ import annotations

import zlib

import msgspec
import pytest

from sttbatch.caching.result_cache import decode_transcript, encode_transcript
from sttbatch.core.models import ChunkSummary, Gap, GapReason, Segment, Transcript, Word


def transcript(segments: int) -> Transcript:
    said = tuple(
        Segment(
            f"line\n{n} \u2028 и", n, n + 0.5, (Word("line", n, n + 0.2), Word("и", n + 0.2, n + 1))
        )
        for n in range(segments)
    )
    gaps = (Gap(1.0, 2.0, GapReason.NO_SPEECH, "", 2),)
    return Transcript(9.5, "ru", said, (ChunkSummary(0, 0.0, 9.5, False, "ok", 1),), gaps)


@pytest.mark.parametrize("segments", [0, 1, 256, 600])
def test_there_and_back(segments: int) -> None:
    whole = transcript(segments)
    assert decode_transcript(encode_transcript(whole)) == whole


def test_what_was_stored_before_is_read() -> None:
    whole = transcript(3)
    assert decode_transcript(msgspec.json.encode(whole)) == whole


@pytest.mark.parametrize("damage", [b"", b"{", b"x", zlib.compress(b"{}\n{}"), zlib.compress(b"")])
def test_anything_else_is_none(damage: bytes) -> None:
    assert decode_transcript(damage) is None


def test_a_cut_value_is_none() -> None:
    assert decode_transcript(encode_transcript(transcript(300))[:-20]) is None

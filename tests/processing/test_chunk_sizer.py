"""Each rule, and that its reason says so."""

from __future__ import annotations

import pytest

from sttbatch.core.models import AudioFile, ConcurrencyLimit, UploadCodec
from sttbatch.core.options import API_BODY_LIMIT_BYTES, MIB, ChunkingOptions
from sttbatch.processing.chunk_sizer import (
    BatchLoad,
    ChunkSizeRecommendation,
    DynamicChunkSizer,
)

LARGE = BatchLoad(audio_s=100_000.0, recordings=50)


def mp3(size_mib: float, bit_rate: int = 128_000) -> AudioFile:
    size = round(size_mib * MIB)
    return AudioFile(size, size * 8 / bit_rate, False, "mp3", "mp3", 44_100, 2, bit_rate)


def advice(
    file: AudioFile,
    load: BatchLoad = LARGE,
    lanes: int = 4,
    timestamps: bool = True,
    **chunking: float | UploadCodec,
) -> ChunkSizeRecommendation:
    options = ChunkingOptions(**chunking)  # type: ignore[arg-type]
    sizer = DynamicChunkSizer(options, timestamps=timestamps)
    return sizer.calculate_chunk_size(file, ConcurrencyLimit(lanes), load)


@pytest.mark.parametrize(
    ("file_mib", "chunk_mib"), [(1, 15), (49, 15), (50, 20), (99, 20), (100, 24), (2000, 24)]
)
def test_the_size_table(file_mib: int, chunk_mib: int) -> None:
    """25 MiB for the largest files lie above what the user allows by default."""
    assert advice(mp3(file_mib)).size_bytes == chunk_mib * MIB


def test_the_table_decides_for_long_targets() -> None:
    found = advice(mp3(10), target_duration_s=7200.0)
    assert found.reason == "15 MiB for a file of 10 MiB"
    assert found.duration_s == pytest.approx(15 * MIB * 8 / 128_000)


def test_the_largest_chunk_allowed() -> None:
    found = advice(mp3(200), target_duration_s=7200.0, max_chunk_bytes=2 * MIB)
    assert found.size_bytes == 2 * MIB
    assert found.reason == "the largest chunk allowed"
    assert found.duration_s == pytest.approx(2 * MIB * 8 / 128_000)


def test_the_api_limit_holds_against_the_user() -> None:
    found = advice(mp3(200), target_duration_s=7200.0, max_chunk_bytes=100 * MIB)
    assert found.reason == "the API's limit with headroom"
    assert found.size_bytes < API_BODY_LIMIT_BYTES


def test_the_target_duration() -> None:
    found = advice(mp3(60))
    assert (found.duration_s, found.reason) == (300.0, "the target duration")
    assert found.chunk_count == 13
    assert found.max_duration_s is None


def test_a_small_batch_is_shared_between_the_lanes() -> None:
    found = advice(mp3(3), BatchLoad(400.0), lanes=4)
    assert (found.duration_s, found.reason) == (100.0, "a small batch shared between all lanes")


def test_idle_lanes_cut_no_shorter_than_keeps_context() -> None:
    found = advice(mp3(1), BatchLoad(60.0), lanes=10)
    assert found.duration_s == 30.0
    assert "shortest that keeps context" in found.reason
    assert advice(mp3(1), BatchLoad(60.0), lanes=10, target_duration_s=12.0).duration_s == 12.0


def test_without_timestamps_chunks_are_cues() -> None:
    assert advice(mp3(1), BatchLoad(60.0), lanes=10, timestamps=False).duration_s == 10.0
    found = advice(mp3(60), timestamps=False)
    assert (found.duration_s, found.max_duration_s) == (24.0, 30.0)
    assert found.reason == "no timestamps in the answers"


def test_what_is_encoded_anew_weighs_what_the_encoder_makes() -> None:
    cd = AudioFile(600 * MIB, 3600.0, False, "flac", "flac", 44_100, 2, 1_400_000)
    assert advice(cd, target_duration_s=7200.0).duration_s == pytest.approx(24 * MIB / 32_000)
    opus = advice(cd, target_duration_s=7200.0, upload_codec=UploadCodec.OPUS)
    assert opus.duration_s == pytest.approx(24 * MIB / 4_000)


def test_the_estimate_grows_with_rounds_not_with_lanes() -> None:
    sizer = DynamicChunkSizer(ChunkingOptions())
    one = sizer.estimate_s(1200.0, 4, ConcurrencyLimit(4))
    assert sizer.estimate_s(1200.0, 4, ConcurrencyLimit(10)) == one
    assert sizer.estimate_s(1200.0, 4, ConcurrencyLimit(2)) == 2 * one
    assert sizer.estimate_s(0.0, 0, ConcurrencyLimit(2)) == 0.0


def test_an_unknown_duration_is_one_chunk_until_it_is_read() -> None:
    unknown = AudioFile(MIB, 0.0, True, "aac", "aac", 44_100, 2, 0)
    assert advice(unknown).chunk_count == 1

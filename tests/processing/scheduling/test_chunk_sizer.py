"""Each rule, and that its reason says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sttbatch.core.models import AudioFile, ConcurrencyLimit, LatencyModel, UploadCodec
from sttbatch.core.options import API_BODY_LIMIT_BYTES, MIB, ChunkingOptions
from sttbatch.processing.scheduling.chunk_count_optimizer import pieces
from sttbatch.processing.scheduling.chunk_sizer import (
    BatchLoad,
    ChunkSizeRecommendation,
    DynamicChunkSizer,
)
from sttbatch.processing.scheduling.latency_model import GUESS

LARGE = BatchLoad((2_000.0,) * 500)
FAST = LatencyModel(0.3, 0.004, 50)
TOGETHER = "shorter than the target, so that all lanes end together"


def mp3(size_mib: float, bit_rate: int = 128_000) -> AudioFile:
    size = round(size_mib * MIB)
    return AudioFile(size, size * 8 / bit_rate, False, "mp3", "mp3", 44_100, 2, bit_rate)


def lasting(seconds: float) -> AudioFile:
    return AudioFile(round(seconds * 16_000), seconds, False, "mp3", "mp3", 44_100, 2, 128_000)


def advice(
    file: AudioFile,
    load: BatchLoad = LARGE,
    lanes: int = 4,
    timestamps: bool = True,
    latency: LatencyModel = GUESS,
    **chunking: float | UploadCodec,
) -> ChunkSizeRecommendation:
    options = ChunkingOptions(**chunking)  # type: ignore[arg-type]
    sizer = DynamicChunkSizer(options, latency, timestamps=timestamps)
    return sizer.calculate_chunk_size(file, ConcurrencyLimit(lanes), load)


def alone(seconds: float, lanes: int, latency: LatencyModel = FAST) -> ChunkSizeRecommendation:
    return advice(lasting(seconds), BatchLoad((seconds,)), lanes, latency=latency)


def together(
    lengths_s: tuple[float, ...], lanes: int, latency: LatencyModel = FAST
) -> list[ChunkSizeRecommendation]:
    sizer = DynamicChunkSizer(ChunkingOptions(), latency)
    load = BatchLoad(lengths_s)
    return [
        sizer.calculate_chunk_size(
            lasting(seconds), ConcurrencyLimit(lanes), replace(load, position=position)
        )
        for position, seconds in enumerate(lengths_s)
    ]


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


@pytest.mark.parametrize("latency", [FAST, GUESS])
@pytest.mark.parametrize(
    ("seconds", "lanes", "chunks"),
    [(1200, 4, 4), (1200, 8, 8), (1200, 10, 10), (400, 4, 4), (3600, 4, 12), (3600, 1, 12)],
)
def test_one_recording_is_shared_between_the_lanes(
    latency: LatencyModel, seconds: float, lanes: int, chunks: int
) -> None:
    found = alone(seconds, lanes, latency)
    assert found.chunk_count == chunks
    assert found.reason == ("the target duration" if found.duration_s == 300 else TOGETHER)


def test_the_last_recordings_fill_the_last_round() -> None:
    """37 chunks of 300 s would be 4 rounds and 5 of 8 lanes; 40 are 5 full ones."""
    found = together((2100.0, 1980.0, 1860.0, 1740.0, 1620.0, 1500.0), 8)
    assert found[0].duration_s == 300.0
    assert found[0].reason == "the target duration"
    assert found[-1].reason == TOGETHER
    assert sum(each.chunk_count for each in found) == 40


@pytest.mark.parametrize(("seconds", "count"), [(60.0, 40), (20.0, 200)])
def test_short_recordings_stay_whole(seconds: float, count: int) -> None:
    found = together((seconds,) * count, 4)
    assert {each.chunk_count for each in found} == {1}
    assert {each.reason for each in found} == {"the target duration"}


def test_idle_lanes_cut_no_shorter_than_keeps_context() -> None:
    found = alone(60.0, 10, GUESS)
    assert found.duration_s == 30.0
    assert found.reason == "the shortest that keeps context, so that all lanes end together"
    assert advice(lasting(60), BatchLoad((60.0,)), 10, target_duration_s=12.0).duration_s == 12.0


def test_what_is_kept_from_earlier_runs_leaves_less_to_share() -> None:
    """Of an hour all but 20 minutes are there; those are 8 chunks on 8 lanes."""
    found = advice(lasting(3600), BatchLoad((1200.0,)), 8, latency=FAST)
    assert found.reason == TOGETHER
    assert pieces(1200.0, found.duration_s) == 8


def test_more_lanes_are_another_decision() -> None:
    sizer = DynamicChunkSizer(ChunkingOptions(), FAST)
    load = BatchLoad((1200.0,))
    counts = [
        sizer.calculate_chunk_size(lasting(1200), ConcurrencyLimit(lanes), load).chunk_count
        for lanes in (4, 8, 4)
    ]
    assert counts == [4, 8, 4]


def test_without_timestamps_chunks_are_cues() -> None:
    a_minute = BatchLoad((100.0,))
    assert advice(lasting(100), a_minute, lanes=10, timestamps=False).duration_s == 10.0
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
    one = sizer.makespan_s([(1200.0, 4)], ConcurrencyLimit(4))
    assert sizer.makespan_s([(1200.0, 4)], ConcurrencyLimit(10)) == one
    two = sizer.makespan_s([(1200.0, 4)], ConcurrencyLimit(2))
    assert two == pytest.approx(2 * one, rel=0.02)
    assert sizer.makespan_s([], ConcurrencyLimit(2)) == 0.0


def test_no_estimate_is_faster_than_the_rate_limit() -> None:
    sizer = DynamicChunkSizer(ChunkingOptions(), FAST, requests_per_minute=60)
    many = [(20.0, 1)] * 1000
    assert sizer.makespan_s(many, ConcurrencyLimit(10)) == pytest.approx(1000, rel=0.01)


def test_no_estimate_is_faster_than_the_limit_on_audio() -> None:
    """600 s of audio a minute are ten a second; ten lanes would take thousands."""
    sizer = DynamicChunkSizer(ChunkingOptions(), FAST, audio_s_per_minute=600)
    hours = [(3600.0, 12)] * 4
    assert sizer.makespan_s(hours, ConcurrencyLimit(10)) == pytest.approx(1440, rel=0.03)
    cuts = sizer.cuts(ConcurrencyLimit(10), BatchLoad((3600.0,) * 1000))
    assert cuts.makespan_s == pytest.approx(360_000, rel=0.01)


def test_of_two_limits_the_stricter_one_counts() -> None:
    sizer = DynamicChunkSizer(
        ChunkingOptions(), FAST, requests_per_minute=60, audio_s_per_minute=600
    )
    for seconds, expected_s in ((5.0, 1000), (10.0, 1000), (20.0, 2000)):
        estimate_s = sizer.makespan_s([(seconds, 1)] * 1000, ConcurrencyLimit(10))
        assert estimate_s == pytest.approx(expected_s, rel=0.01)


def test_an_unknown_duration_is_one_chunk_until_it_is_read() -> None:
    unknown = AudioFile(MIB, 0.0, True, "aac", "aac", 44_100, 2, 0)
    assert advice(unknown).chunk_count == 1
    assert advice(unknown, BatchLoad((0.0,))).chunk_count == 1
    assert advice(unknown, BatchLoad()).chunk_count == 1


LENGTHS = st.floats(0, 50_000) | st.sampled_from([0.0, 1e-9, 30.0, 300.0, 315.0, 315.0001])


@given(
    lengths=st.lists(LENGTHS, min_size=1, max_size=30),
    latency=st.builds(LatencyModel, st.floats(0, 1e4), st.floats(0, 1e3), st.just(9)),
    lanes=st.integers(1, 10),
    target_s=st.floats(10, 7200),
    timestamps=st.booleans(),
    limit=st.none() | st.integers(1, 1000),
    audio_limit=st.none() | st.floats(10, 1e9),
)
def test_whatever_comes_lengths_stay_within_limits(
    lengths: list[float],
    latency: LatencyModel,
    lanes: int,
    target_s: float,
    timestamps: bool,
    limit: int | None,
    audio_limit: float | None,
) -> None:
    lengths.sort(reverse=True)
    sizer = DynamicChunkSizer(
        ChunkingOptions(target_duration_s=target_s),
        latency,
        timestamps=timestamps,
        requests_per_minute=limit,
        audio_s_per_minute=audio_limit,
    )
    load, concurrency = BatchLoad(tuple(lengths)), ConcurrencyLimit(lanes)
    cuts = sizer.cuts(concurrency, load)
    counted = 0
    for position, seconds in enumerate(lengths):
        here = replace(load, position=position)
        found = sizer.calculate_chunk_size(lasting(seconds), concurrency, here)
        floor_s = min(30.0 if timestamps else 10.0, target_s, 24.0 if not timestamps else 7200.0)
        by_size_s = found.size_bytes / 16_000
        assert min(floor_s, by_size_s) <= found.duration_s <= min(target_s, by_size_s)
        assert found.max_duration_s is None or found.duration_s <= found.max_duration_s
        assert found.chunk_count == max(1, pieces(seconds, found.duration_s))
        assert found.estimated_duration_s >= 0
        counted += pieces(seconds, cuts.target_of(position))
    assert counted == cuts.chunks
    at_target = sum(pieces(each, cuts.target_s) for each in lengths)
    assert cuts.chunks >= at_target

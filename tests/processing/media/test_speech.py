"""Speech is found at any level, and nothing else is taken for it, by either package."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from sttbatch.core.models import MIXED, UploadCodec
from sttbatch.processing.media.loudness import Span
from sttbatch.processing.media.media_messages import Source, Voice
from sttbatch.processing.media.media_workers import MediaWorkers
from sttbatch.processing.media.speech import PACKAGES, SpeechDetector
from tests.speech import RATE_HZ, Samples, at_peak, melody, noise, spoken, write_channels

from .cutting import cut, plan_for


def pcm(samples: Samples) -> bytes:
    return np.round(samples * 32767).astype(np.int16).tobytes()


def share(found: list[Span], of_s: float) -> float:
    return sum(each.duration_s for each in found) / of_s


@pytest.fixture(params=PACKAGES, scope="module")
def detector(request: pytest.FixtureRequest) -> SpeechDetector:
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} has no wheel for this platform")
    return SpeechDetector(request.param)


@pytest.mark.parametrize("dbfs", [-3.0, -54.0, -64.0])
def test_speech_is_heard_at_the_recordings_own_level(detector: SpeechDetector, dbfs: float) -> None:
    assert share(detector.spans(pcm(at_peak(spoken(6.0), dbfs))), 6.0) > 0.6


@pytest.mark.parametrize(
    "samples",
    [melody(6.0), noise(6.0, 0.2), noise(6.0, 0.0003), np.zeros(6 * RATE_HZ)],
    ids=["melody", "noise", "quiet noise", "silence"],
)
def test_what_is_no_speech_is_not_heard(detector: SpeechDetector, samples: Samples) -> None:
    assert detector.spans(pcm(samples)) == []


def test_times_are_those_of_the_recording(detector: SpeechDetector) -> None:
    samples = np.concatenate([noise(4.0, 0.001), spoken(3.0), noise(4.0, 0.001)])
    found = detector.spans(pcm(samples), start_s=100.0)
    assert found[0].start_s == pytest.approx(104.0, abs=0.8)
    assert found[-1].end_s == pytest.approx(107.0, abs=0.8)


def test_it_is_looked_for_on_each_channel_and_only_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    loud, quiet = noise(8.0, 0.2), np.zeros(8 * RATE_HZ)
    quiet[2 * RATE_HZ : 5 * RATE_HZ] = at_peak(spoken(3.0), -40.0)
    write_channels(path, loud, quiet)

    async def main() -> tuple[Voice, ...]:
        async with MediaWorkers(tmp_path, count=1) as workers:
            source = Source(path.stat().st_size, path=bytes(path))
            everywhere = await workers.measure(source, [], [Span(0.0, 8.0)])
            nowhere = await workers.measure(source, [Span(0.0, 8.0)])
            assert nowhere.voices == ()
            return everywhere.voices

    found = asyncio.run(main())
    assert {voice.channel for voice in found} == {2}
    assert found[0].span.start_s == pytest.approx(2.0, abs=0.8)
    assert found[-1].span.end_s == pytest.approx(5.0, abs=0.8)


def test_equal_channels_are_searched_once_and_none_is_drowned(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    write_channels(path, *[spoken(5.0)] * 3)

    async def main() -> tuple[Voice, ...]:
        async with MediaWorkers(tmp_path, count=1) as workers:
            source = Source(path.stat().st_size, path=bytes(path))
            return (await workers.measure(source, [], [Span(0.0, 5.0)])).voices

    found = asyncio.run(main())
    assert {voice.channel for voice in found} == {MIXED}
    assert len(found) == len({voice.span for voice in found})


@pytest.mark.parametrize("dbfs", [-54.0, -64.0])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_quiet_speech_on_any_channel_is_sent(channels: int, dbfs: float, tmp_path: Path) -> None:
    """Nothing is silent by its level; inverted channels do not cancel."""
    path = tmp_path / "talk.wav"
    said = at_peak(np.concatenate([np.zeros(8 * RATE_HZ), spoken(8.0)]), dbfs)
    write_channels(path, *([said, -said, noise(16.0, 0.0001)][:channels]))
    (piece,) = cut(path, plan_for(30.0, codec=UploadCodec.FLAC)).pieces
    assert not piece.silent


@pytest.mark.parametrize("channels", [1, 2])
def test_noise_of_a_room_is_not_sent_unless_nobody_listens(channels: int, tmp_path: Path) -> None:
    path = tmp_path / "room.wav"
    write_channels(path, *[noise(16.0, 0.0005)] * channels)
    plan = plan_for(30.0, codec=UploadCodec.FLAC)
    (piece,) = cut(path, plan).pieces
    assert piece.silent
    (piece,) = cut(path, replace(plan, vad=False)).pieces
    assert not piece.silent
    write_channels(path, *[np.zeros(16 * RATE_HZ)] * channels)
    (piece,) = cut(path, replace(plan, vad=False)).pieces
    assert piece.silent

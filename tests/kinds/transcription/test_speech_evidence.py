"""What nobody spoke is left out and named; music is no failure, and speech is never music."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from msgspec.structs import replace

from sttbatch.core.engine import Answer, APIRequest, RecordRequest
from sttbatch.core.models import ConcurrencyLimit, Hallucinations, Segment, Transcription, Upload
from sttbatch.core.options import OutputOptions, RequestOptions, RunOptions
from sttbatch.kinds.report import BatchReport, Outcome
from tests.encoding import encode
from tests.shell import load
from tests.speech import RATE_HZ, Samples, at_peak, melody, noise, spoken, write

from .harness import CONFIG, opened

FILLER = "Субтитры сделал DimaTorzok"
SPOKEN_S = 10.0
MUSIC_S = 20.0
REPAIR = RunOptions(audit_share=1.0)


@dataclass
class WritingEngine:
    """Answers each upload with what `write` says, by its number from 0."""

    write: Callable[[int, Upload], tuple[Segment, ...]]
    sent: list[Upload] = field(default_factory=list)
    timestamps: bool = True
    longest_s: float | None = None

    def prepare(self) -> None:
        """Nothing."""

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        segments = self.write(len(self.sent), upload)
        self.sent.append(upload)
        text = " ".join(each.text for each in segments)
        request = APIRequest(0.0, 1, 200, 0.1, upload.size_bytes, upload.duration_s, paid=True)
        return Answer(Transcription(text, segments, "ru"), request, "verbose_json")


def transcribed(
    path: Path,
    engine: WritingEngine,
    *,
    hallucinations: Hallucinations = Hallucinations.DROP,
    run: RunOptions = REPAIR,
) -> tuple[BatchReport, dict[str, Any]]:
    outputs = OutputOptions(formats=("json",), hallucinations=hallucinations)

    async def main() -> BatchReport:
        config = replace(CONFIG, outputs=outputs, run=run, concurrency=ConcurrencyLimit(1))
        async with opened(path.parent, engine, config=config) as harness:  # type: ignore[arg-type]
            return await harness.transcribe(path)

    return asyncio.run(main()), load(path.with_suffix(".json"))


def answer(*segments: Segment) -> WritingEngine:
    """The same to every upload."""
    return WritingEngine(lambda _number, _upload: segments)


def test_music_between_speech_is_no_failure_and_a_credit_over_it_is_left_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "talk.wav"
    write(path, spoken(SPOKEN_S), melody(MUSIC_S), spoken(SPOKEN_S, "support-call.wav"))
    end_s = 2 * SPOKEN_S + MUSIC_S
    engine = answer(
        Segment("Что сказано сначала.", 0.0, SPOKEN_S),
        Segment(FILLER, 12.0, 26.0),
        Segment("Что сказано потом.", SPOKEN_S + MUSIC_S, end_s),
    )
    report, document = transcribed(path, engine)
    assert [(each.outcome, each.reason) for each in report.recordings] == [(Outcome.DONE, "")]
    assert document["text"] == "Что сказано сначала. Что сказано потом."
    assert {gap["reason"] for gap in document["gaps"]} == {"no_speech"}
    (dropped,) = document["dropped"]
    assert dropped == {
        "start": 12.0,
        "end": 26.0,
        "text": FILLER,
        "evidence": ["no_speech", "filler_line"],
    }
    assert report.dropped == 1
    # Who wants it has it without anything sent.
    for mode, shown in (
        (Hallucinations.KEEP, FILLER),
        (Hallucinations.MARK, f"[not spoken? {FILLER}]"),
    ):
        _, document = transcribed(path, engine, hallucinations=mode)
        assert document["text"] == f"Что сказано сначала. {shown} Что сказано потом."
    assert len(engine.sent) == 1


@pytest.mark.parametrize(
    ("text", "unlikely", "audio", "kept"),
    [
        (FILLER, False, melody(MUSIC_S), False),
        pytest.param(FILLER, False, spoken(MUSIC_S), True, marks=pytest.mark.slow),
        ("Мы здесь поём.", False, melody(MUSIC_S), True),
        pytest.param("Мы здесь поём.", True, melody(MUSIC_S), False, marks=pytest.mark.slow),
        ("Кто знает, что.", True, spoken(MUSIC_S), True),
        pytest.param(FILLER, True, spoken(MUSIC_S), False, marks=pytest.mark.slow),
        pytest.param(f"{FILLER} для нас", False, melody(MUSIC_S), True, marks=pytest.mark.slow),
    ],
    ids=["filler over music", "spoken", "sung", "improbable over music", "mumbled", "both", "part"],
)
def test_two_of_three_have_to_agree(
    text: str, unlikely: bool, audio: Samples, kept: bool, tmp_path: Path
) -> None:
    path = tmp_path / "talk.wav"
    write(path, audio)
    said = Segment(text, 0.0, MUSIC_S, unlikely=unlikely)
    engine = WritingEngine(
        lambda number, upload: (said if number == 0 else Segment("Gut.", 0.0, upload.duration_s),)
    )
    report, document = transcribed(path, engine)
    assert [each.outcome for each in report.recordings] == [Outcome.DONE]
    assert (text in document["text"]) is kept
    assert bool(document.get("dropped")) is not kept


def test_speech_without_words_is_asked_for_again_and_named_if_it_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    write(path, spoken(20.0))
    engine = WritingEngine(
        lambda number, _upload: (Segment("Only this.", 0.0, 6.0),) if number == 0 else ()
    )
    report, document = transcribed(path, engine)
    assert [each.outcome for each in report.recordings] == [Outcome.FAILED]
    assert len(engine.sent) == 2
    assert engine.sent[1].duration_s == pytest.approx(14.0, abs=1.0)
    (gap,) = document["gaps"]
    assert gap["reason"] == "still_missing"
    assert "speech was heard" in gap["detail"]


def test_what_a_share_forbids_to_send_again_is_a_failure_only_where_somebody_speaks(
    tmp_path: Path,
) -> None:
    first = Segment("Only this.", 0.0, SPOKEN_S)
    for number, (audio, outcome) in enumerate(
        ((melody(MUSIC_S), Outcome.DONE), (spoken(MUSIC_S), Outcome.FAILED))
    ):
        path = tmp_path / f"{number}.wav"
        write(path, spoken(SPOKEN_S, "support-call.wav"), audio)
        engine = answer(first)
        report, _ = transcribed(path, engine, run=RunOptions(audit_share=0.01))
        assert [each.outcome for each in report.recordings] == [outcome]
        assert len(engine.sent) == 1


@pytest.mark.parametrize(
    "vad", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["auto", "off"]
)
@pytest.mark.parametrize("dbfs", [pytest.param(-54.0, marks=pytest.mark.slow), -64.0])
def test_quiet_speech_is_sent_and_quiet_noise_is_not(
    dbfs: float, vad: bool, tmp_path: Path
) -> None:
    speech, hum = tmp_path / "speech.wav", tmp_path / "hum.wav"
    write(speech, at_peak(spoken(6.0), dbfs))
    write(hum, at_peak(noise(6.0, 0.1), dbfs))
    sent = []
    for path in (speech, hum):
        engine = WritingEngine(lambda _number, upload: (Segment("Ja.", 0.0, upload.duration_s),))
        report, _ = transcribed(path, engine, run=RunOptions(vad=vad))
        assert [each.outcome for each in report.recordings] == [Outcome.DONE]
        sent.append(len(engine.sent))
    assert sent == [1, 0 if vad else 1]


def peak_of(upload: Upload) -> int:
    with av.open(io.BytesIO(upload.data or b""), "r") as container:
        return max(
            int(np.abs(frame.to_ndarray()).max())
            for frame in container.decode(container.streams.audio[0])
        )


@pytest.mark.parametrize(
    "codec",
    [
        pytest.param("pcm_s16le", marks=pytest.mark.slow),
        pytest.param("flac", marks=pytest.mark.slow),
        "aac",
    ],
)
def test_a_quiet_channel_is_heard_beside_a_loud_one_and_sent_alone(
    codec: str, tmp_path: Path
) -> None:
    """Whether its upload has all channels or is their mix, in which the quiet one is lost."""
    path = tmp_path / "call.mka"
    loud = np.concatenate([spoken(8.0), melody(14.0)])
    quiet = np.zeros_like(loud)
    quiet[12 * RATE_HZ : 18 * RATE_HZ] = at_peak(spoken(6.0, "support-call.wav"), -50.0)
    both = np.round(np.stack([loud, quiet], axis=1) * 32767).astype(np.int16)
    encode(path, both, codec, RATE_HZ)
    engine = WritingEngine(
        lambda number, upload: (
            Segment("Laut." if number == 0 else "Leise.", 0.0, min(9.0, upload.duration_s)),
        )
    )
    report, document = transcribed(path, engine)
    assert [(each.outcome, each.reason) for each in report.recordings] == [(Outcome.DONE, "")]
    assert document["text"] == "Laut. Leise."
    assert document["segments"][1]["start"] == pytest.approx(12.0, abs=1.2)
    (_, piece) = engine.sent
    assert piece.duration_s < 7.0
    assert peak_of(piece) < 200

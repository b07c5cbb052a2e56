"""Transcripts as tools write them, by their source code."""

from __future__ import annotations

import json
from typing import Any

# openai-whisper 20250625, `--word_timestamps True`: ResultWriter dumps what `transcribe` returns,
# and a probability may be NaN, which JSON has not.
WHISPER = (
    b'{"text": " Good morning. The sluice gate is open.", "segments": [{"id": 0, "seek": 0, '
    b'"start": 0.0, "end": 1.4, "text": " Good morning.", "tokens": [50364, 2205, 50434], '
    b'"temperature": 0.0, "avg_logprob": NaN, "compression_ratio": 0.9, "no_speech_prob": 0.02, '
    b'"words": [{"word": " Good", "start": 0.0, "end": 0.5, "probability": 0.81}, '
    b'{"word": " morning.", "start": 0.5, "end": 1.4, "probability": 0.99}]}, '
    b'{"id": 1, "seek": 0, "start": 1.4, "end": 3.2, "text": " The sluice gate is open.", '
    b'"tokens": [440, 1061, 84], "temperature": 0.0, "avg_logprob": -0.2, '
    b'"compression_ratio": 0.9, "no_speech_prob": 0.02, "words": [{"word": " The", "start": 1.4, '
    b'"end": 1.6, "probability": 0.9}, {"word": " slu", "start": 1.6, "end": 1.8, "probability": '
    b'0.9}, {"word": "ice", "start": 1.8, "end": 2.0, "probability": 0.9}, {"word": " gate", '
    b'"start": 2.0, "end": 2.4, "probability": 0.9}, {"word": " is", "start": 2.4, "end": 2.6, '
    b'"probability": 0.9}, {"word": " open.", "start": 2.6, "end": 3.2, "probability": 0.9}]}], '
    b'"language": "en"}'
)

# OpenAI's API, verbose_json with timestamp_granularities of words and segments.
VERBOSE: dict[str, Any] = {
    "task": "transcribe",
    "language": "russian",
    "duration": "3.4000000953674316",
    "text": "Шлюз открыт. Баржа прошла.",
    "words": [
        {"word": "Шлюз", "start": 0.1, "end": 0.6},
        {"word": "открыт", "start": 0.6, "end": 1.2},
        {"word": "Баржа", "start": 1.9, "end": 2.4},
        {"word": "прошла", "start": 2.4, "end": 3.0},
    ],
    "segments": [
        {"id": 0, "seek": 0, "start": 0.0, "end": 1.5, "text": " Шлюз открыт.", "tokens": [1]},
        {"id": 1, "seek": 0, "start": 1.5, "end": 3.4, "text": " Баржа прошла.", "tokens": [2]},
    ],
    "usage": {"type": "duration", "seconds": 4},
}

# whisper-ctranslate2 0.5 with --hf_token: Whisper's form, with a speaker where one is known.
CTRANSLATE2: dict[str, Any] = {
    "text": " Who is there? It is me.",
    "segments": [
        {"id": 1, "seek": 200, "start": 0.0, "end": 1.0, "text": " Who is there?", "tokens": [1],
         "avg_logprob": -0.3, "compression_ratio": 0.8, "no_speech_prob": 0.1, "words": None,
         "temperature": 0.0, "speaker": "SPEAKER_00"},
        {"id": 2, "seek": 200, "start": 1.0, "end": 2.0, "text": " It is me.", "tokens": [2],
         "avg_logprob": -0.3, "compression_ratio": 0.8, "no_speech_prob": 0.1, "words": None,
         "temperature": 0.0},
    ],
    "language": "en",
}  # fmt: skip

# WhisperX 3.4 with --diarize: words that could not be aligned (figures) have no times.
WHISPERX: dict[str, Any] = {
    "segments": [
        {"start": 0.031, "end": 2.5, "text": " We had 25 barges.", "words": [
            {"word": "We", "start": 0.031, "end": 0.4, "score": 0.8, "speaker": "SPEAKER_01"},
            {"word": "had", "start": 0.5, "end": 0.9, "score": 0.8, "speaker": "SPEAKER_01"},
            {"word": "25"},
            {"word": "barges.", "start": 1.7, "end": 2.5, "score": 0.8, "speaker": "SPEAKER_01"},
        ], "speaker": "SPEAKER_01"},
        {"start": 2.6, "end": 3.1, "text": "Really?", "words": [{"word": "Really?"}],
         "speaker": "SPEAKER_00"},
    ],
    "word_segments": [{"word": "We", "start": 0.031, "end": 0.4, "score": 0.8}],
    "language": "en",
}  # fmt: skip


def whisper_cpp(*segments: dict[str, Any], language: str = "en") -> dict[str, Any]:
    """As whisper.cpp 1.7.4 writes it with `-oj`, and `-ojf` where segments have tokens."""
    return {
        "systeminfo": "AVX = 1 | AVX2 = 1",
        "model": {
            "type": "base", "multilingual": True, "vocab": 51865,
            "audio": {"ctx": 1500, "state": 512, "head": 8, "layer": 6},
            "text": {"ctx": 448, "state": 512, "head": 8, "layer": 6}, "mels": 80, "ftype": 1,
        },
        "params": {"model": "models/ggml-base.bin", "language": "auto", "translate": False},
        "result": {"language": language},
        "transcription": list(segments),
    }  # fmt: skip


def cpp_segment(
    text: str, start_ms: int, end_ms: int, *tokens: tuple[str, int, int], speaker: str | None = None
) -> dict[str, Any]:
    segment: dict[str, Any] = {**_times(start_ms, end_ms), "text": text}
    if tokens:
        segment["tokens"] = [
            {"text": token, **_times(*times), "id": 13, "p": 0.9, "t_dtw": -1}
            for token, *times in tokens
        ]
    return segment | ({} if speaker is None else {"speaker": speaker})


def _times(start_ms: int, end_ms: int) -> dict[str, Any]:
    stamps = {"from": f"00:00:{start_ms // 1000:02},{start_ms % 1000:03}", "to": "00:00:09,000"}
    return {"timestamps": stamps, "offsets": {"from": start_ms, "to": end_ms}}


WHISPER_CPP = whisper_cpp(
    cpp_segment(
        " The lock keeper sleeps.",
        0,
        2_000,
        ("[_BEG_]", 0, 0),
        (" The", 0, 300),
        (" lock", 300, 700),
        (" kee", 700, 900),
        ("per", 900, 1_200),
        (" sleeps", 1_200, 1_900),
        (".", 1_900, 2_000),
        ("[_TT_100]", 2_000, 2_000),
        speaker="0",
    ),
    cpp_segment(" So does the dog.", 2_000, 3_500, speaker="?"),
)


def encoded(form: dict[str, Any]) -> bytes:
    return json.dumps(form, ensure_ascii=False).encode()

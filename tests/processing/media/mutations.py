"""Fixtures with something wrong in them, each made again from its number."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

SPEECH = Path(__file__).parents[3] / "fixtures" / "speech"
FIXTURES = tuple(
    path
    for path in sorted(SPEECH.rglob("*"))
    if path.suffix in {".flac", ".m4a", ".mp3", ".mp4", ".ogg", ".wav"}
)
HEADER_BYTES = 600
_NUMBERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1")

Mutation = Callable[[random.Random, bytearray], None]


def mutated(number: int) -> tuple[str, bytes]:
    """Name and content of mutation `number`; one to four things are wrong with it."""
    chance = random.Random(number)
    path = chance.choice(FIXTURES)
    data = bytearray(path.read_bytes())
    kinds = [chance.choice(tuple(MUTATIONS)) for _ in range(chance.randint(1, 4))]
    for kind in kinds:
        MUTATIONS[kind](chance, data)
    return f"{number:04}-{'-'.join(kinds)}{path.suffix}", bytes(data)


def _place(chance: random.Random, data: bytearray) -> int:
    """Half of the time in the header, where it tells."""
    limit = HEADER_BYTES if chance.random() < 0.5 else len(data)
    return chance.randrange(max(1, min(limit, len(data))))


def _flip(chance: random.Random, data: bytearray) -> None:
    for _ in range(chance.choice((1, 8, 200))):
        if data:
            data[_place(chance, data)] ^= 1 << chance.randrange(8)


def _cut(chance: random.Random, data: bytearray) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _drop(chance: random.Random, data: bytearray) -> None:
    at = _place(chance, data)
    del data[at : at + chance.choice((1, 7, 4096, 100_000))]


def _repeat(chance: random.Random, data: bytearray) -> None:
    at = _place(chance, data)
    data[at:at] = data[at : at + chance.choice((4, 188, 4096, 100_000))]


def _splice(chance: random.Random, data: bytearray) -> None:
    other = chance.choice(FIXTURES).read_bytes()
    begin = chance.randrange(len(other))
    at = _place(chance, data)
    data[at : at + chance.choice((0, 4096))] = other[begin : begin + chance.choice((64, 20_000))]


def _header(chance: random.Random, data: bytearray) -> None:
    size = chance.choice((16, 44, 300, 4096))
    data[:size] = chance.choice(FIXTURES).read_bytes()[:size]


def _number(chance: random.Random, data: bytearray) -> None:
    at = _place(chance, data)
    data[at : at + 4] = chance.choice(_NUMBERS)


MUTATIONS: dict[str, Mutation] = {
    "flip": _flip,
    "cut": _cut,
    "drop": _drop,
    "repeat": _repeat,
    "splice": _splice,
    "header": _header,
    "number": _number,
}

"""Whether benchmarks still run and no figure is off by half: small sizes, one run, in a minute.

    python benchmarks/smoke.py

expected.toml says what each script is started with and which figures it is expected to have. They
are ratios that hold on a busy machine too. One that is off is measured once more, and counts if it
is off again. The exit status is 1 if one counts, or if a script fails or has no such figure.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from benchmarks.claims import Claim, ScriptFailedError, claims_of

EXPECTED = Path(__file__).with_name("expected.toml")
OFF_BY = 1.5
SCRIPT_TIMEOUT_S = 120.0


class Expected(msgspec.Struct, frozen=True):
    """What a script of this folder is started with, and figures by the names of its claims."""

    file: str
    arguments: list[str]
    figures: dict[str, float]


class Smoke(msgspec.Struct, frozen=True):
    """The whole file."""

    script: list[Expected]


def main() -> None:
    begun_s = time.monotonic()
    problems: list[str] = []
    for expected in scripts():
        problems += measured(expected) and measured(expected)
    print(f"\n{time.monotonic() - begun_s:.0f} s in all")
    if problems:
        sys.exit("\n".join(["off by half, or not to be measured:", *problems]))
    print("no figure is off by half")


def scripts() -> list[Expected]:
    return msgspec.toml.decode(EXPECTED.read_bytes(), type=Smoke).script


def measured(expected: Expected) -> list[str]:
    try:
        claims = claims_of(expected.file, *expected.arguments, timeout_s=SCRIPT_TIMEOUT_S)
    except ScriptFailedError as error:
        return [str(error)]
    return [f"{expected.file}: {problem}" for problem in problems_of(claims, expected.figures)]


def problems_of(claims: Iterable[Claim], figures: Mapping[str, float]) -> list[str]:
    """One line for each figure that is worse than `OFF_BY` times what is expected, or missing."""
    by_name = {claim.name: claim for claim in claims}
    found = []
    for name, figure in figures.items():
        claim = by_name.get(name)
        if claim is None:
            found.append(f'no claim "{name}"')
            continue
        worse = figure / claim.figure if claim.at_least else claim.figure / figure
        if worse > OFF_BY:
            found.append(f"{name}: {claim.reached.strip()}, expected {figure:g}")
    return found


if __name__ == "__main__":
    main()

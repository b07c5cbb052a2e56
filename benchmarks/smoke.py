"""Whether benchmarks still run and no figure is off by half: small sizes, one run, in a minute.

    python benchmarks/smoke.py

expected.toml says what each script is started with and which figures it is expected to have. They
are ratios that hold on a busy machine too. A script with one that is off runs once more, and its
figures of that run count. The exit status is 1 if one is off then, or if there is none.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from benchmarks.claims import Claim, ScriptFailedError, claims_of

EXPECTED = Path(__file__).with_name("expected.toml")
OFF_BY = 1.5
SCRIPT_TIMEOUT_S = 120.0


class Script(msgspec.Struct, frozen=True):
    """A file of this folder, what it is started with, and figures by the names of its claims."""

    file: str
    arguments: list[str]
    figures: dict[str, float]


class Expected(msgspec.Struct, frozen=True):
    """The whole of expected.toml."""

    script: list[Script]


@dataclass(frozen=True, slots=True)
class Figure:
    """One that is expected, and the claim that has it now; without one, `problem` says why."""

    name: str
    expected: float
    claim: Claim | None
    problem: str = ""

    @property
    def is_off(self) -> bool:
        """Whether it is worse by half, or not there."""
        if self.claim is None:
            return True
        better, worse = self.expected, self.claim.figure
        if self.claim.at_least:
            better, worse = worse, better
        return worse > OFF_BY * better

    def __str__(self) -> str:
        now = self.claim.reached.strip() if self.claim else self.problem
        return (
            f"{'OFF' if self.is_off else 'ok ':3}  {self.name}: {now}, expected {self.expected:g}"
        )


def main() -> None:
    begun_s = time.monotonic()
    found: list[Figure] = []
    for script in scripts():
        figures = measured(script)
        if any(figure.is_off for figure in figures):
            figures = measured(script)
        found += figures
    print(f"\nFigures of {time.monotonic() - begun_s:.0f} s")
    print("\n".join(map(str, found)))
    sys.exit(any(figure.is_off for figure in found))


def scripts() -> list[Script]:
    return msgspec.toml.decode(EXPECTED.read_bytes(), type=Expected).script


def measured(script: Script) -> list[Figure]:
    try:
        claims = claims_of(script.file, *script.arguments, timeout_s=SCRIPT_TIMEOUT_S)
    except ScriptFailedError as error:
        return [Figure(name, figure, None, str(error)) for name, figure in script.figures.items()]
    return figures_of(script, claims)


def figures_of(script: Script, claims: Iterable[Claim]) -> list[Figure]:
    by_name = {claim.name: claim for claim in claims}
    return [
        Figure(name, figure, by_name.get(name), f"{script.file} has no such claim")
        for name, figure in script.figures.items()
    ]


if __name__ == "__main__":
    main()

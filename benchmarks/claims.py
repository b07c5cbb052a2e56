"""What a script prints: each claim with its figure, what it is held to, and whether it is met.

A script that another one started (`claims_of`) tells it the same claims through a file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.measure import machine

HERE = Path(__file__).resolve().parent
TOLD_IN = "BENCHMARK_CLAIMS"
"""Environment variable: the file to which claims are added, one JSON object a line."""

_begun_at_s = time.monotonic()


class ScriptFailedError(Exception):
    """A script ended badly, or not in time; the message says which and how."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One line.

    Attributes:
        bound: what `figure` must not exceed; with `at_least`, not fall below. None: not judged.
        detail: what the figure was made of.
    """

    name: str
    figure: float
    bound: float | None
    detail: str = ""
    at_least: bool = False
    unit: str = "x"

    @property
    def verdict(self) -> str:
        if self.bound is None:
            return "-"
        met = self.figure >= self.bound if self.at_least else self.figure <= self.bound
        return "met" if met else "NOT MET"

    @property
    def reached(self) -> str:
        return f"{self.figure:.2f} {self.unit:2}"

    @property
    def held_to(self) -> str:
        if self.bound is None:
            return ""
        return f"{'>=' if self.at_least else '<='} {self.bound:g} {self.unit}"


def print_claims(title: str, claims: list[Claim], *notes: str) -> None:
    """The table, the machine, and how long the script took so far."""
    width = max(len(claim.name) for claim in claims)
    print(f"\n{title}\n{machine()}")
    print(f"{'claim':{width}}  {'figure':>9}  {'held to':>11}  verdict  made of")
    for claim in claims:
        print(
            f"{claim.name:{width}}  {claim.reached:>9}  {claim.held_to:>11}  "
            f"{claim.verdict:7}  {claim.detail}"
        )
    for note in notes:
        print(note)
    print(f"this script took {time.monotonic() - _begun_at_s:.0f} s", flush=True)
    if told_in := os.environ.get(TOLD_IN):
        with Path(told_in).open("ab") as file:
            file.write(msgspec.json.Encoder().encode_lines(claims))


def claims_of(script: str, *arguments: str, timeout_s: float) -> list[Claim]:
    """Run a script of this folder as a process; what it claims. What it prints is shown.

    Raises:
        ScriptFailedError: its exit status is not 0, or it takes longer.
    """
    with tempfile.NamedTemporaryFile(prefix="claims-") as told:
        try:
            done = subprocess.run(
                [sys.executable, str(HERE / script), *arguments],
                env=os.environ | {TOLD_IN: told.name},
                stdin=subprocess.DEVNULL,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ScriptFailedError(f"{script} did not end within {timeout_s:.0f} s") from error
        if done.returncode != 0:
            raise ScriptFailedError(f"{script} ended with exit status {done.returncode}")
        return msgspec.json.Decoder(Claim).decode_lines(told.read())

"""What a script prints: each claim with its figure, what it is held to, and whether it is met."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.measure import machine

_begun_at_s = time.monotonic()


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


def print_claims(title: str, claims: list[Claim], *notes: str) -> None:
    """The table, the machine, and how long the script took so far."""
    width = max(len(claim.name) for claim in claims)
    print(f"\n{title}\n{machine()}")
    print(f"{'claim':{width}}  {'figure':>9}  {'held to':>11}  verdict  made of")
    for claim in claims:
        sign = ">=" if claim.at_least else "<="
        held_to = "" if claim.bound is None else f"{sign} {claim.bound:g} {claim.unit}"
        print(
            f"{claim.name:{width}}  {claim.figure:>6.2f} {claim.unit:2}  {held_to:>11}  "
            f"{claim.verdict:7}  {claim.detail}"
        )
    for note in notes:
        print(note)
    print(f"this script took {time.monotonic() - _begun_at_s:.0f} s", flush=True)

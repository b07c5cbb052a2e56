"""The table of speed: each kind of work, what it was in 0.1, its goal, and what is reached now.

    python benchmarks/table.py [--runs 5] [--only one_second.py lanes.py]

Each row is a claim of a script, which is run as a process and shows what the figure was made of.
The exit status is 1 if a row has no figure, not if a goal is missed: figures depend on the machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, ScriptFailedError, claims_of
from benchmarks.measure import machine

SCRIPT_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work.

    Attributes:
        claim: its name in the script's own output.
        was: the figure of 0.1, measured on the machine that the goals are for.
    """

    work: str
    claim: str
    was: str


@dataclass(frozen=True, slots=True)
class Script:
    """A file of this folder, and the rows that it measures."""

    file: str
    arguments: tuple[str, ...]
    rows: tuple[Row, ...]


SCRIPTS = (
    Script("one_second.py", (), (
        Row("one second of audio / python that imports", "sttbatch transcribe / imports", "1.82 x"),
    )),
    Script("lanes.py", (), (
        Row("40 of 60 s, -j 4, whole / bound", "40 of 60 s, -j 4, no history", "1.26 x"),
        Row("6 of 25 to 35 min, -j 4 / bound", "6 of 25 to 35 min, -j 4, no history", "1.06 x"),
        Row("6 of 25 to 35 min, -j 8 / bound", "6 of 25 to 35 min, -j 8, no history", "1.13 x"),
    )),
    Script("against_curl.py", (), (
        Row("one hour, -j 4 / ffmpeg and curl", "sttbatch / ffmpeg, then curl", "1.07 x"),
    )),
    Script("small_recordings.py", (), (
        Row("1,000 of 1 s, -j 10: a second", "recordings a second", "36 to 42 /s"),
        Row("1,000 of 1 s, -j 10: CPU of each", "CPU of a recording", "28 ms"),
    )),
    Script("http_cost.py", ("--requests", "250"), (
        Row("a request of 1 s: CPU over HTTP/2", "HTTP/2: 32 kB", ""),
        Row("the same: CPU over HTTP/1.1", "HTTP/1.1: 32 kB", ""),
    )),
    Script("finished.py", (), (
        Row("10,000 unchanged: second run", "second run", "1.1 s"),
    )),
    Script("long_recording.py", (), (
        Row("six hours: CPU / ffmpeg -c copy", "CPU, long: sttbatch / ffmpeg segment", "3.2 x"),
        Row("ten hours / one hour: memory", "memory: 600 min / 60 min", "1.4 x"),
        Row("ten hours: memory", "memory: 600 min", "151 MB"),
    )),
    Script("local_engine.py", (), (
        Row("10 min, local / faster-whisper: time", "time", "1.86 x"),
        Row("10 min, local / faster-whisper: word errors", "word errors", "1.24 x"),
    )),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """A row with its figure; without one, `problem` says why."""

    row: Row
    claim: Claim | None
    problem: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5, help="of each, of which the median")
    parser.add_argument("--only", nargs="+", choices=[script.file for script in SCRIPTS])
    options = parser.parse_args()
    lines: list[Line] = []
    took_s: dict[str, float] = {}
    for script in SCRIPTS:
        if options.only is None or script.file in options.only:
            begun_s = time.monotonic()
            lines += measured(script, options.runs)
            took_s[script.file] = time.monotonic() - begun_s
    print(f"\nMedians of {options.runs}\n{machine()}")
    print("\n".join(table(lines)))
    print(", ".join(f"{name} {seconds:.0f} s" for name, seconds in took_s.items()))
    print(f"in all {sum(took_s.values()) / 60:.1f} min")
    sys.exit(any(line.claim is None for line in lines))


def measured(script: Script, runs: int) -> list[Line]:
    arguments = (*script.arguments, "--runs", str(runs))
    try:
        claims = claims_of(script.file, *arguments, timeout_s=SCRIPT_TIMEOUT_S)
    except ScriptFailedError as error:
        return [Line(row, None, str(error)) for row in script.rows]
    return lines_of(script, claims)


def lines_of(script: Script, claims: Iterable[Claim]) -> list[Line]:
    by_name = {claim.name: claim for claim in claims}
    return [
        Line(row, by_name.get(row.claim), f'{script.file} claims no "{row.claim}"')
        for row in script.rows
    ]


def table(lines: Iterable[Line]) -> list[str]:
    cells = [("work", "was", "goal", "reached", "verdict")]
    for line in lines:
        if line.claim is None:
            cells.append((line.row.work, line.row.was, "", "", f"FAILED: {line.problem}"))
        else:
            held_to, reached = line.claim.held_to, line.claim.reached
            cells.append((line.row.work, line.row.was, held_to, reached, line.claim.verdict))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"{work:{widths[0]}}  {was:>{widths[1]}}  {goal:>{widths[2]}}  {reached:>{widths[3]}}  "
        f"{verdict}"
        for work, was, goal, reached, verdict in cells
    ]


if __name__ == "__main__":
    main()

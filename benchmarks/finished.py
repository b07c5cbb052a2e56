"""A folder that is finished: what a second run over it takes, beside `git status`.

    python benchmarks/finished.py [--recordings 10000] [--runs 5]

The figure of the README is for 10,000 recordings. Most of the time goes into the first run over
them.

Makes one-second recordings, transcribes them against a local endpoint that knows one word, commits
recordings and outputs to git, and then times whole processes in turn: `git status`, the second
run, and a Python that does nothing. All warm; medians.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.recordings import one_second_tones
from tests.cloudru import CloudRu, Heard, HeardWord

USUAL = 10_000
AT_MOST_S = 0.5
GIT_STATUS = 12.0
"""Times `git status`, at most."""


def one_word(_: bytes) -> Heard:
    return Heard((HeardWord("0000", 0.1, 0.4),), 1.0)


def timed(command: list[str], cwd: Path, environment: dict[str, str], runs: int) -> float:
    """Median wall seconds after one run that is not counted."""
    walls = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        subprocess.run(command, cwd=cwd, env=environment, check=True, stdout=subprocess.DEVNULL)
        walls.append(time.perf_counter() - begun)
    return statistics.median(walls[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=USUAL)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="finished-"))
    talks = base / "talks"
    try:
        one_second_tones(talks, options.recordings)
        with CloudRu(recognise=one_word) as endpoint:
            environment = {
                "PATH": os.environ["PATH"],
                "HOME": str(base),
                "CLOUDRU_API_KEY": endpoint.key,
                "SSL_CERT_FILE": str(endpoint.ca_file),
                "STTBATCH_BASE_URL": endpoint.base_url,
                "STTBATCH_RATE_LIMIT": "100000",
            }
            command = [sys.executable, "-m", "sttbatch", "transcribe", ".", "-q", "-j", "10"]
            begun = time.perf_counter()
            subprocess.run(command, cwd=talks, env=environment, check=True)
            first_s = time.perf_counter() - begun
            sent = len(endpoint.received)
            git = ["git", "-c", "user.name=b", "-c", "user.email=b@localhost"]
            for step in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "finished"]):
                subprocess.run([*git, *step], cwd=talks, env=environment, check=True)
            git_s = timed([*git, "status", "-s"], talks, environment, options.runs)
            second_s = timed(command, talks, environment, options.runs)
            python_s = timed([sys.executable, "-c", "1"], talks, environment, options.runs)
            extra = len(endpoint.received) - sent
    finally:
        shutil.rmtree(base)
    is_usual = options.recordings >= USUAL
    # Starting takes the same time for any number, so with few of them it weighs too much.
    limits = (AT_MOST_S, GIT_STATUS) if is_usual else (None, None)
    claims = [
        Claim("second run", second_s, limits[0], f"{extra} requests", unit="s"),
        Claim("second run / git status", second_s / git_s, limits[1],
              f"{second_s:.3f} s / {git_s:.3f} s; python -c 1: {python_s:.3f} s"),
    ]  # fmt: skip
    fewer = "" if is_usual else f", fewer than the usual {USUAL}"
    print_claims(
        f"A finished folder of {options.recordings} recordings{fewer}, medians of {options.runs}",
        claims,
        f"first run: {first_s:.1f} s, {sent} requests",
    )


if __name__ == "__main__":
    main()

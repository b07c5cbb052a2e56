"""Runs of sttbatch as a user would start it, timed from outside, and the bound they are held to."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import CommandFailedError, children_cpu_s
from benchmarks.stand_in import StandIn, Traffic

CHUNK_S = 300.0
"""What bounds are for, unless they say otherwise."""

RUN_TIMEOUT_S = 900.0
UNLIMITED = ("--rate-limit", "6000")


@dataclass(frozen=True, slots=True)
class Run:
    """Times are seconds on `time.monotonic`; CPU seconds are those of the process tree."""

    begun_at_s: float
    ended_at_s: float
    cpu_s: float
    traffic: Traffic

    @property
    def wall_s(self) -> float:
        return self.ended_at_s - self.begun_at_s

    @property
    def start_up_s(self) -> float:
        """From the start of the process to its first request."""
        return self.traffic.first_at_s - self.begun_at_s

    @property
    def ending_s(self) -> float:
        """From the last answer to the end of the process."""
        return self.ended_at_s - self.traffic.last_at_s


@dataclass(frozen=True, slots=True)
class State:
    """Where a run keeps what it knows. A folder given twice is a second run with a history."""

    folder: Path

    def environment(self, endpoint: StandIn) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "CLOUDRU_API_KEY": endpoint.key,
            "SSL_CERT_FILE": endpoint.ca_file,
            "STTBATCH_BASE_URL": endpoint.base_url,
            "STTBATCH_DATA_DIR": str(self.folder / "data"),
            "STTBATCH_CACHE_DIR": str(self.folder / "cache"),
        }


def fresh_state(base: Path) -> State:
    return State(Path(tempfile.mkdtemp(prefix="state-", dir=base)))


def command(source: Path, state: State, *options: str) -> list[str]:
    outputs = str(state.folder / "transcripts")
    return [
        *(sys.executable, "-m", "sttbatch", "transcribe", str(source)),
        *("-o", outputs, "-q", *options),
    ]


def transcribe(endpoint: StandIn, source: Path, state: State, *options: str) -> Run:
    """Run to the end.

    Raises:
        CommandFailedError: its exit status is not 0.
    """
    line = command(source, state, *options)
    return timed(line, endpoint, state.folder, state.environment(endpoint))


def timed(line: Sequence[str], endpoint: StandIn, cwd: Path, environment: Mapping[str, str]) -> Run:
    """Run any command to the end, one at a time.

    Raises:
        CommandFailedError: its exit status is not 0.
    """
    begun_at_s, cpu_before_s = time.monotonic(), children_cpu_s()
    done = subprocess.run(
        line,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    ended_at_s, cpu_s = time.monotonic(), children_cpu_s() - cpu_before_s
    check(done.returncode, done.stderr)
    return Run(begun_at_s, ended_at_s, cpu_s, endpoint.traffic())


def check(status: int, complaints: str) -> None:
    """Raises: CommandFailedError."""
    if status != 0:
        said = complaints.strip().splitlines()
        raise CommandFailedError(f"exit status {status}: {said[-1] if said else 'no message'}")


def lower_bound_s(
    durations_s: Sequence[float],
    lanes: int,
    latency_s: float,
    per_audio_s: float,
    chunk_s: float = CHUNK_S,
) -> float:
    """Seconds that no client with such chunks can beat: max(sum of latencies / lanes, longest)."""
    chunks = sum(math.ceil(each / chunk_s) for each in durations_s)
    longest_s = latency_s + per_audio_s * min(chunk_s, max(durations_s))
    return max((chunks * latency_s + per_audio_s * sum(durations_s)) / lanes, longest_s)

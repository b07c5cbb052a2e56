"""The stand-in endpoint as the scripts see it: a process of its own, and what it logged."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).resolve().parent / "endpoint.py"


class StandInError(Exception):
    """The stand-in did not come up, or made a mistake of its own; the message says which."""


@dataclass(frozen=True, slots=True)
class Request:
    """One post as the endpoint logged it; times are seconds on `time.monotonic`."""

    number: int
    arrived_at_s: float
    body_read_at_s: float | None
    answered_at_s: float | None
    open_in_all: int
    connection: int
    http_version: str
    body_bytes: int
    audio_s: float
    status: int | None
    attempt: int
    prompt: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """What came in since the last look, in order of arrival, and what it took the stand-in."""

    requests: tuple[Request, ...]
    cpu_s: float

    def count(self, status: int) -> int:
        return sum(request.status == status for request in self.requests)

    @property
    def first_at_s(self) -> float:
        return self.requests[0].arrived_at_s

    @property
    def last_at_s(self) -> float:
        """When the last answer went out."""
        return max(request.answered_at_s or request.arrived_at_s for request in self.requests)

    @property
    def upload_s(self) -> float:
        """Seconds from a request's headers to the end of its body, all of them together."""
        return sum((r.body_read_at_s or r.arrived_at_s) - r.arrived_at_s for r in self.requests)

    def levels(self, from_s: float, to_s: float) -> list[tuple[float, int]]:
        """(seconds, requests in flight) between two times; what was answered 429 does not count."""
        changes: list[tuple[float, int]] = [(from_s, 0), (to_s, 0)]
        for request in self.requests:
            if request.status == 200 and request.answered_at_s is not None:
                changes += [(request.arrived_at_s, 1), (request.answered_at_s, -1)]
        changes.sort()
        level, found = 0, []
        for (at_s, change), (next_s, _) in pairwise(changes):
            level += change
            if from_s <= at_s and next_s <= to_s and at_s < next_s:
                found.append((next_s - at_s, level))
        return found

    def mean_in_flight(self) -> float:
        levels = self.levels(self.first_at_s, self.last_at_s)
        return sum(span * level for span, level in levels) / (self.last_at_s - self.first_at_s)


class StandIn:
    """A running stand-in.

    Attributes:
        cpu_s, served: of all that `traffic` has reported.
    """

    def __init__(self, process: subprocess.Popen[str], place: dict[str, str]) -> None:
        self._process = process
        self.base_url, self.ca_file, self.key = place["base_url"], place["ca_file"], place["key"]
        self.cpu_s = 0.0
        self.served = 0

    def traffic(self) -> Traffic:
        """Raises: StandInError."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        said = _line(self._process)
        if said["errors"]:
            raise StandInError(f"the stand-in endpoint failed: {said['errors'][-1]}")
        requests = tuple(Request(**request) for request in said["requests"])
        self.cpu_s, self.served = self.cpu_s + said["cpu_s"], self.served + len(requests)
        return Traffic(requests, said["cpu_s"])

    @property
    def own_cost(self) -> str:
        each_ms = 1000 * self.cpu_s / max(self.served, 1)
        return (
            f"the stand-in endpoint: {self.served} requests, {self.cpu_s:.1f} CPU s, "
            f"{each_ms:.1f} ms each"
        )


@contextlib.contextmanager
def stand_in(*options: str | float) -> Iterator[StandIn]:
    """One that runs as long as the `with`; `options` are those of endpoint.py."""
    command: Sequence[str] = [sys.executable, str(PROGRAM), *map(str, options)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        # Leaving this `with` closes its stdin, which ends it, and waits for it.
        yield StandIn(process, _line(process))


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise StandInError(f"the stand-in endpoint ended, exit status {process.wait()}")
    said: dict[str, Any] = json.loads(line)
    return said

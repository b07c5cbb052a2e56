"""11 recordings of 20 s: submitted to one idle worker, beside `transcribe` over the same folder.

    python benchmarks/one_worker.py [--runs 5]

Both have 4 lanes. From the start of `submit --wait`, or of `transcribe`, to its end: with the
worker looking into the ledger, and with Celery telling it. Broker: Debian's Redis on loopback.
Then a worker is drained by SIGTERM while all lanes are busy: from the last answer to its end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.recordings import Phrases
from benchmarks.runs import UNLIMITED, State, check, fresh_state, transcribe
from benchmarks.stand_in import StandIn, stand_in
from tests.redis_server import PROGRAM, redis_server

RECORDINGS = 11
RECORDING_S = 20.0
LANES = "4"
LATENCY_S, PER_AUDIO_S = 0.3, 0.004
BOUND = 1.3
DRAIN_BOUND_S = 2.0
DRAINED_LATENCY_S = 8.0
TIMEOUT_S = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5, help="of each way, of which the median")
    options = parser.parse_args()
    if PROGRAM is None:
        sys.exit("Redis is not installed (Debian: redis-server)")
    with (
        tempfile.TemporaryDirectory(prefix="one-worker-") as temporary,
        redis_server() as redis,
        stand_in("--latency", LATENCY_S, "--latency-per-second", PER_AUDIO_S) as endpoint,
    ):
        base = Path(temporary)
        Phrases().folder(base / "talks", [RECORDING_S] * RECORDINGS)
        alone, ledger, celery = [], [], []
        # In turn, so that a noisy minute of the machine counts for all.
        for number in range(options.runs):
            run = transcribe(endpoint, base / "talks", fresh_state(base), "-j", LANES, *UNLIMITED)
            alone.append(run.wall_s)
            ledger.append(ordered(base, endpoint, {}))
            broker = {"STTBATCH_BROKER_URL": f"redis://127.0.0.1:{redis.port}/{number}"}
            celery.append(ordered(base, endpoint, broker))
        transcribed_s = statistics.median(alone)
        claims = [
            Claim(
                f"one worker, {name}, beside transcribe",
                statistics.median(taken) / transcribed_s,
                BOUND,
                detail=f"medians {statistics.median(taken):.2f} s and {transcribed_s:.2f} s",
            )
            for name, taken in (("ledger alone", ledger), ("Celery", celery))
        ]
        with stand_in("--latency", DRAINED_LATENCY_S) as slow:
            for name, variables in (("ledger alone", {}), ("Celery", broker)):
                seconds = statistics.median(
                    drained(base, slow, variables) for _ in range(options.runs)
                )
                claims.append(
                    Claim(f"end after the last answer, {name}", seconds, DRAIN_BOUND_S, unit="s")
                )
        print_claims(f"{RECORDINGS} recordings of {RECORDING_S:.0f} s, {LANES} lanes", claims)


def ordered(base: Path, endpoint: StandIn, variables: Mapping[str, str]) -> float:
    """Seconds from submitting the recordings to an idle worker to their transcripts."""
    state = fresh_state(base)
    with working(state, endpoint, variables):
        begun_at_s = time.monotonic()
        submitted = ("submit", str(base / "talks"), "--wait", "-q", "-o", str(state.folder / "out"))
        finish(start(state, endpoint, variables, *submitted))
        taken_s = time.monotonic() - begun_at_s
    requests = len(endpoint.traffic().requests)
    assert requests == RECORDINGS, f"{requests} requests for {RECORDINGS} recordings"
    return taken_s


def drained(base: Path, endpoint: StandIn, variables: Mapping[str, str]) -> float:
    """Seconds from the last answer to the end of a worker that was told to drain while busy."""
    state = fresh_state(base)
    with working(state, endpoint, variables) as worker:
        submitted = ("submit", str(base / "talks"), "-q", "-o", str(state.folder / "out"))
        finish(start(state, endpoint, variables, *submitted))
        until(lambda: workers(state, endpoint, variables)[0]["busy_lanes"] == int(LANES))
        worker.send_signal(signal.SIGTERM)
        worker.wait(TIMEOUT_S)
        ended_at_s = time.monotonic()
    traffic = endpoint.traffic()
    assert len(traffic.requests) < RECORDINGS, "it did all before it was drained"
    return ended_at_s - traffic.last_at_s


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline, "the worker did not come to it in time"
        time.sleep(0.2)


@contextlib.contextmanager
def working(
    state: State, endpoint: StandIn, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """An idle worker, which drains at the end."""
    worker = start(state, endpoint, variables, "worker", "-q", "-j", LANES)
    try:
        until(lambda: [each["state"] for each in workers(state, endpoint, variables)] == ["IDLE"])
        yield worker
        worker.send_signal(signal.SIGTERM)
        worker.wait(TIMEOUT_S)
    finally:
        worker.kill()  # does nothing to one that has ended


def workers(
    state: State, endpoint: StandIn, variables: Mapping[str, str]
) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(
        finish(start(state, endpoint, variables, "workers", "--json"))
    )
    return found


def finish(process: subprocess.Popen[str]) -> str:
    printed, complaints = process.communicate(timeout=TIMEOUT_S)
    check(process.returncode, complaints)
    return printed


def start(
    state: State, endpoint: StandIn, variables: Mapping[str, str], *command: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sttbatch", *command],
        cwd=state.folder,
        env=state.environment(endpoint) | {"STTBATCH_RATE_LIMIT": UNLIMITED[1]} | {**variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    main()

"""1, 2 and 4 workers at one PostgreSQL: what each adds, and one rate limit for all of them.

    python benchmarks/workers.py [--answers 6]

Each worker has 4 lanes, a home of its own, and an endpoint that takes 5 s for a chunk, so that the
bound is (workers x 4 lanes) / 5 s. Recordings have one chunk; a worker has as many as fill its
lanes `--answers` times, submitted once all workers are idle. Timed from the first request to the
last answer, with the CPU time of workers, database and endpoint from then on. Then two workers
under a limit of 240 requests a minute that the endpoint enforces: none may be refused, and 93 % has
to be used. The server is Debian's, started on a socket of its own, without fsync.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.rate_limit import PER_MINUTE, share
from benchmarks.recordings import Phrases
from benchmarks.runs import State, check, fresh_state
from benchmarks.stand_in import StandIn, stand_in
from tests.database.postgresql import PostgreSQL, postgresql, programs

WORKERS = (1, 2, 4)
LANES = 4
LATENCY_S = 5.0
RECORDING_S = 12.0
LIMITED_RECORDINGS = 420
TIMEOUT_S = 400.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--answers", type=int, default=6, help="of each lane")
    options = parser.parse_args()
    found = programs()
    if found is None:
        sys.exit("PostgreSQL 15 or newer is not installed (Debian: postgresql)")
    phrases = Phrases()
    with tempfile.TemporaryDirectory(prefix="workers-") as temporary:
        base = Path(temporary)
        claims = []
        for count in WORKERS:
            folder = base / f"talks-{count}"
            phrases.folder(folder, [RECORDING_S] * count * LANES * options.answers)
            with postgresql(found) as server, stand_in("--latency", LATENCY_S) as endpoint:
                claims += throughput(base, folder, count, endpoint, server)
        folder = base / "limited"
        phrases.folder(folder, [RECORDING_S] * LIMITED_RECORDINGS)
        limit = ("--latency", 0.2, "--rate-per-minute", PER_MINUTE)
        with postgresql(found) as server, stand_in(*limit) as endpoint:
            claims += limited(base, folder, endpoint, server)
        print_claims(f"workers of {LANES} lanes, {LATENCY_S:.0f} s a chunk, PostgreSQL", claims)


def throughput(
    base: Path, folder: Path, count: int, endpoint: StandIn, server: PostgreSQL
) -> list[Claim]:
    with working(base, count, endpoint, server, "6000") as processes:
        workers = [psutil.Process(each.pid) for each in processes]
        before_s = sum(map(tree_cpu_s, workers)), sum(map(cpu_s, serving(server)))
        submit(base, folder, endpoint, server)
        workers_s = sum(map(tree_cpu_s, workers)) - before_s[0]
        database_s = sum(map(cpu_s, serving(server))) - before_s[1]
    traffic = endpoint.traffic()
    span_s = traffic.last_at_s - traffic.first_at_s
    bound_s = len(traffic.requests) * LATENCY_S / (count * LANES)
    costs = f"workers {workers_s:.1f}, database {database_s:.1f}, endpoint {traffic.cpu_s:.1f}"
    return [
        Claim(
            f"{count} workers, of what their lanes allow", bound_s / span_s, 0.9, at_least=True,
            detail=f"{len(traffic.requests)} requests in {span_s:.1f} s; CPU s: {costs}",
        )
    ]  # fmt: skip


def limited(base: Path, folder: Path, endpoint: StandIn, server: PostgreSQL) -> list[Claim]:
    with working(base, 2, endpoint, server, str(PER_MINUTE)):
        submit(base, folder, endpoint, server)
    requests = endpoint.traffic().requests
    arrivals_s = sorted(each.arrived_at_s for each in requests)
    refused = sum(each.status == 429 for each in requests)
    return [
        Claim("two workers, 240 a minute: answers 429", refused, 0, unit=""),
        Claim("two workers, 240 a minute: limit used", share(arrivals_s), 0.93, at_least=True),
    ]


@contextlib.contextmanager
def working(
    base: Path, count: int, endpoint: StandIn, server: PostgreSQL, limit: str
) -> Iterator[list[subprocess.Popen[str]]]:
    """Idle workers, each as on a machine of its own."""
    command = ("worker", "-q", "-j", str(LANES))
    processes = [
        start(fresh_state(base), endpoint, server, *command, rate_limit=limit) for _ in range(count)
    ]
    try:
        wait_until_idle(count, fresh_state(base), endpoint, server)
        yield processes
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(TIMEOUT_S)
    finally:
        for process in processes:
            process.kill()  # does nothing to one that has ended


def wait_until_idle(count: int, state: State, endpoint: StandIn, server: PostgreSQL) -> None:
    """Raises: TimeoutError."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        asked = start(state, endpoint, server, "workers", "--json", stdout=subprocess.PIPE)
        workers, complaints = asked.communicate(timeout=TIMEOUT_S)
        check(asked.returncode, complaints)
        if sum(each["state"] == "IDLE" for each in json.loads(workers)) == count:
            return
        time.sleep(0.2)
    raise TimeoutError(f"{count} workers were not idle after {TIMEOUT_S:.0f} s")


def submit(base: Path, folder: Path, endpoint: StandIn, server: PostgreSQL) -> None:
    """Submit a folder and wait for its transcripts."""
    process = start(fresh_state(base), endpoint, server, "submit", str(folder), "--wait", "-q")
    _, complaints = process.communicate(timeout=TIMEOUT_S)
    check(process.returncode, complaints)


def start(
    state: State,
    endpoint: StandIn,
    server: PostgreSQL,
    *command: str,
    rate_limit: str = "600",
    stdout: int = subprocess.DEVNULL,
) -> subprocess.Popen[str]:
    variables = {"STTBATCH_DATABASE_URL": server.url, "STTBATCH_RATE_LIMIT": rate_limit}
    return subprocess.Popen(
        [sys.executable, "-m", "sttbatch", *command],
        cwd=state.folder,
        env=state.environment(endpoint) | variables,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def serving(server: PostgreSQL) -> Sequence[psutil.Process]:
    """The processes of a server; those of connections that are closed are in their parent."""
    number = int((server.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    parent = psutil.Process(number)
    return [parent, *parent.children()]


def tree_cpu_s(process: psutil.Process) -> float:
    return sum(map(cpu_s, [process, *process.children(recursive=True)]))


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    main()

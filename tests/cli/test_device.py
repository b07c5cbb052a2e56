"""A GPU that is asked for and missing ends a run before it has done anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell import Shell

MISSING = "device cuda: there is no NVIDIA GPU that CTranslate2 can use; use auto or cpu"


@pytest.fixture(autouse=True)
def no_gpu() -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    if ctranslate2.get_cuda_device_count():
        pytest.skip("this machine has a GPU")


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_folder_may_ask_for_a_gpu_that_is_missing(home: Path, more: tuple[str, ...]) -> None:
    (home / "talk.wav").write_bytes(b"sound")
    (home / "sttbatch.toml").write_text('device = "cuda"\n')
    result = Shell(home).transcribe("talk.wav", "--engine", "local", *more)
    assert (result.code, result.out) == (2, "")
    assert MISSING in result.err
    assert not (home / "data").exists()


def test_a_worker_does_not_wait_for_orders_without_it(home: Path) -> None:
    shell = Shell(home, extra={"STTBATCH_ENGINE": "local", "STTBATCH_DEVICE": "cuda"})
    result = shell.run("worker")
    assert result.code == 2
    assert MISSING in result.err

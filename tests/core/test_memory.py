"""Memory that is given back."""

from __future__ import annotations

import platform

import psutil
import pytest

from sttbatch.core.memory import release_freed_memory

MIB = 1 << 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked for it")
def test_what_was_freed_between_what_is_held_is_returned() -> None:
    process = psutil.Process()
    parts = [bytes(3_000) for _ in range(20_000)]
    held = parts[::50]
    del parts
    before = process.memory_info().rss
    release_freed_memory()
    assert before - process.memory_info().rss > 20 * MIB
    assert len(held) == 400

"""Checks the limits of this process before anything is paid, and has its garbage collected."""

from __future__ import annotations

import asyncio
import gc
import resource

from sttbatch.core.errors import UsageError

LEAST_ADDRESS_SPACE_MIB = 1024
"""Ten lanes map 0.9 GiB, mostly stacks and arenas of threads; a media worker may map 1 GiB."""

LEAST_OPEN_FILES = 64
"""Ten lanes have 39 files open: connections, pipes, databases, and files reserved for answers."""

IMPORTED_AFTER_S = 1.0
"""Seconds after which most of what threads use is imported, on a machine that is not busy."""

_MIB = 1 << 20
_DEFAULT_THRESHOLDS = (700, 10, 10)


def check_process_limits() -> None:
    """Raises UsageError if a limit is so small that a run may end after answers were paid for.

    It would fail wherever more is needed first: at a thread, an import, the ledger's journal.
    """
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    too_small = []
    if space != resource.RLIM_INFINITY and space < LEAST_ADDRESS_SPACE_MIB * _MIB:
        needed = f"at least {LEAST_ADDRESS_SPACE_MIB} (`ulimit -v {LEAST_ADDRESS_SPACE_MIB << 10}`)"
        too_small.append(f"{space // _MIB} MiB of address space, it needs {needed}")
    if files != resource.RLIM_INFINITY and files < LEAST_OPEN_FILES:
        needed = f"at least {LEAST_OPEN_FILES} (`ulimit -n {LEAST_OPEN_FILES}`)"
        too_small.append(f"{files} open files, it needs {needed}")
    if too_small:
        raise UsageError(f"this process may have {'; and '.join(too_small)}; nothing was sent")


def collect_garbage() -> None:
    """Collect it as often as Python does by default, beginning in a second.

    What is in memory then, mostly modules, is never looked at: that would delay requests.
    """
    asyncio.get_running_loop().call_later(IMPORTED_AFTER_S, _collect_as_usual)


def _collect_as_usual() -> None:
    gc.freeze()
    gc.set_threshold(*_DEFAULT_THRESHOLDS)

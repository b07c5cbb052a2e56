"""Which functions of ours run in the thread of the event loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType


def run_here(work: Callable[[], object]) -> set[str]:
    """Call `work`; the names of all functions that ran in this thread, as `module.function`."""
    names = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            names.add(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return names

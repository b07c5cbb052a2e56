"""sttbatch in a process whose clock runs faster than others', and that a signal sets forward.

    python -m tests.slow.faster_clock SPEED AHEAD_S COMMAND...

SIGUSR1 sets it `JUMP_S` forward, as for a machine that was asleep. Its child processes have the
usual clock.
"""

from __future__ import annotations

import selectors
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

JUMP_S = 6 * 3600.0

_jumps = 0


def _set_forward(_signal: int, _frame: FrameType | None) -> None:
    global _jumps  # noqa: PLW0603 - there is one clock
    _jumps += 1


def accelerate(speed: float, ahead_s: float) -> None:
    """Have every clock and every wait of this process run `speed` times as fast.

    The time of day begins `ahead_s` ahead.

    The selectors of event loops and the conditions of threads wait for real seconds.
    """
    for name in ("time", "monotonic"):
        _accelerate_clock(name, speed, ahead_s if name == "time" else 0.0)
    sleep, select, wait = time.sleep, selectors.DefaultSelector.select, threading.Condition.wait
    replace: Any = setattr
    replace(time, "sleep", lambda seconds: sleep(seconds / speed))
    replace(threading, "_time", time.monotonic)
    replace(
        selectors.DefaultSelector,
        "select",
        lambda self, timeout=None: select(self, timeout and timeout / speed),
    )
    replace(
        threading.Condition,
        "wait",
        lambda self, timeout=None: wait(self, timeout and timeout / speed),
    )


def _accelerate_clock(name: str, speed: float, ahead_s: float) -> None:
    real = getattr(time, name)
    begun = real()
    setattr(time, name, lambda: begun + ahead_s + speed * (real() - begun) + _jumps * JUMP_S)


def main() -> None:
    speed, ahead_s = map(float, sys.argv[1:3])
    accelerate(speed, ahead_s)
    signal.signal(signal.SIGUSR1, _set_forward)
    sys.argv[1:] = sys.argv[3:]
    # Imported by a clock that is accelerated already.
    from sttbatch.__main__ import main as run

    run()


if __name__ == "__main__":
    main()

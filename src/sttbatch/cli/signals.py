"""Signals: the first one lets a run finish what is in flight, the second cancels it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any, Self

from sttbatch.cli.exit_codes import SIGNAL_BASE


def _handled() -> list[signal.Signals]:
    numbers = [signal.SIGINT, signal.SIGTERM]
    # `nohup` ignores it, which must remain so.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


@contextlib.contextmanager
def exit_on_signal() -> Iterator[None]:
    """Raise SystemExit on a signal while nothing is in flight, so that the log has its summary."""

    def handle(number: int, _: Any) -> None:
        raise SystemExit(SIGNAL_BASE + number)

    before = {number: signal.signal(number, handle) for number in _handled()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Signals:
    """Handlers for the time of a run: the first signal calls `stop`, the second cancels the task.

    Attributes:
        first: the number of the first signal; None: there was none.
        stop: starts nothing new and finishes requests in flight; None: nothing is in flight, so
            that the first signal cancels.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.stop: Callable[[], None] | None = None
        self.first: int | None = None

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._handled = _handled()
        for number in self._handled:
            loop.add_signal_handler(number, self._handle, number, task)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in self._handled:
            loop.remove_signal_handler(number)

    @contextlib.contextmanager
    def absorb_cancellation(self) -> Iterator[None]:
        """Suppress the CancelledError of a signal."""
        try:
            yield
        except asyncio.CancelledError:
            if self.first is None:
                raise

    def _handle(self, number: int, task: asyncio.Task[Any]) -> None:
        is_first, self.first = self.first is None, self.first or number
        if not is_first or self.stop is None:
            task.cancel()
            return
        self._say("stopping: requests in flight are finished and stored; repeat to quit at once")
        self.stop()

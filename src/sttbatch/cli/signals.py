"""What signals do to a run: the first one lets it end well, whenever it comes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any, Self

from sttbatch.cli.exit_codes import SIGNAL_BASE


def _heeded() -> list[signal.Signals]:
    """`nohup` stays in force."""
    found = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        found.append(signal.SIGHUP)
    return found


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """While nothing is sent yet a signal raises SystemExit, so that the log gets its last line."""

    def leave(number: int, _: Any) -> None:
        raise SystemExit(SIGNAL_BASE + number)

    before = {number: signal.signal(number, leave) for number in _heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Signals:
    """The first signal lets what is in flight finish and be stored, the second cancels.

    Attributes:
        first: the signal that came first.
        stop: begin nothing new; None while there is nothing to finish, then the first one cancels.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.stop: Callable[[], None] | None = None
        self.first: int | None = None

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._heeded = _heeded()
        for number in self._heeded:
            loop.add_signal_handler(number, self._caught, number, task)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in self._heeded:
            loop.remove_signal_handler(number)

    @contextlib.contextmanager
    def cancelling(self) -> Iterator[None]:
        """What a signal cancels ends here."""
        try:
            yield
        except asyncio.CancelledError:
            if self.first is None:
                raise

    def _caught(self, number: int, task: asyncio.Task[Any]) -> None:
        is_first, self.first = self.first is None, self.first or number
        if not is_first or self.stop is None:
            task.cancel()
            return
        self._say("stopping: what is in flight is finished and stored; once more to leave at once")
        self.stop()

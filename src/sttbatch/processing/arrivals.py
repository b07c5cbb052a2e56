"""Arrivals: which files of watched folders are new or changed, and complete."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from msgspec import Struct

from sttbatch.processing.discovery import Candidate, Discovery, may_be_recording

RETRY_S = 30.0
LONGEST_RETRY_S = 600.0
"""A recording that could not be done is due again after pauses that double between these."""

_STEP_MS = 200
"""Between looks at what the system has reported; shorter ones would take CPU time for nothing."""

Identity = tuple[int, int]
"""Device and inode: a path with another one leads to another folder."""

State = tuple[int, int, int]
"""Size, time of modification and inode: a file with another one has another content."""


class _Known(Struct):
    """A file in one state; `due_s` is when it is to be taken, on the monotonic clock."""

    state: State
    due_s: float
    retries: int = 0


class Arrivals:
    """Remembers the files of all looks, and takes each once it is unchanged for `settle_s`."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._known: dict[str, _Known] = {}
        self._failures: set[tuple[str, str]] = set()
        self._unreadable: set[str] = set()
        self._is_first = True

    @property
    def due_s(self) -> float:
        """When the next file is due, on the monotonic clock; infinity: none is."""
        return min((each.due_s for each in self._known.values()), default=math.inf)

    def take(self, look: Discovery) -> Discovery:
        """What is due of all that a look has found; of what is no recording, what is new."""
        now_s = time.monotonic()
        if not look.failures:
            # While a folder cannot be read, nobody knows what is gone from it.
            paths = {each.display_path for each in look.candidates}
            self._known = {path: each for path, each in self._known.items() if path in paths}
        due = [each for each in look.candidates if self._is_due(each, now_s)]
        failures = [each for each in look.failures if each not in self._failures]
        unreadable = [each for each in look.unreadable if each not in self._unreadable]
        skipped = look.skipped if self._is_first else {}
        self._failures, self._unreadable = set(look.failures), set(look.unreadable)
        self._is_first = False
        return Discovery(due, failures, skipped, unreadable=unreadable)

    def try_again(self, candidates: Sequence[Candidate]) -> None:
        """Have files that were taken be due again after a pause, unless they have changed."""
        for candidate in candidates:
            known = self._known.get(candidate.display_path)
            if known is not None and known.state == _state(candidate):
                pause_s = min(RETRY_S * 2**known.retries, LONGEST_RETRY_S)
                known.due_s = time.monotonic() + pause_s
                known.retries += 1

    def _is_due(self, candidate: Candidate, now_s: float) -> bool:
        path, state = candidate.display_path, _state(candidate)
        known = self._known.get(path)
        if known is None or known.state != state:
            # Whoever copies a file may set its times, so what arrives later has to be looked at
            # twice. What was there before has not changed since its latest time.
            unchanged_s = _age_s(candidate) if self._is_first else 0.0
            due_s = now_s + self._settle_s - unchanged_s
            known = self._known[path] = _Known(state, due_s)
        if known.due_s > now_s:
            return False
        known.due_s = math.inf
        return True


def identities(folders: Sequence[Path]) -> list[Identity | None]:
    """Which folders the paths lead to; None: it is not there."""
    found: list[Identity | None] = []
    for folder in folders:
        try:
            status = folder.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_dev, status.st_ino))
    return found


async def changes(
    folders: Sequence[Path], stop: asyncio.Event, fail: Callable[[str], None]
) -> AsyncIterator[None]:
    """Yields whenever the system reports a change that may be of a recording, until `stop`.

    `fail` is called with the reason if it reports none any more, and the iterator ends.
    """
    from watchfiles import Change, awatch

    def matters(_: Change, path: str) -> bool:
        return may_be_recording(Path(path).name)

    try:
        async for _ in awatch(
            *folders,
            watch_filter=matters,
            step=_STEP_MS,
            stop_event=stop,
            ignore_permission_denied=True,
        ):
            yield
    except (OSError, RuntimeError) as error:
        fail(str(error))


def _state(candidate: Candidate) -> State:
    status = candidate.status
    return status.st_size, status.st_mtime_ns, status.st_ino


def _age_s(candidate: Candidate) -> float:
    status = candidate.status
    return max(0.0, time.time() - max(status.st_mtime_ns, status.st_ctime_ns) / 1e9)

"""When lanes may send: rate limit, the server's wish to slow down, outages, the end of the run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from pyrate_limiter import (
    GCRA,
    AbstractClock,
    InMemoryStateStore,
    Limiter,
    Rate,
    StateBucket,
)

from sttbatch.core.errors import EndpointUnreachable, Stopped

FAILURES_TO_OUTAGE = 3
PROBE_WAITS_S = (0.5, 15.0)
"""An outage's probes wait at first 0.5 s, then twice as long each time, up to 15 s."""

BURST_SHARE = 0.02
WINDOW_MS = 61_000
"""A minute, and a second for requests that reach the wire later than they were let through."""


class RateLimiter:
    """At most `per_minute` requests in any 60 s, evenly spaced but for a burst of 2 %.

    Args:
        clock: milliseconds; the limiter's own by default.
    """

    def __init__(self, per_minute: int, clock: AbstractClock | None = None) -> None:
        burst = max(1, int(per_minute * BURST_SHARE))
        # A full burst and the steady flow may fall into one minute; together they keep to it.
        rate = Rate(per_minute - burst + 1, WINDOW_MS, burst=burst)
        bucket = StateBucket([rate], algorithm=GCRA(), store=InMemoryStateStore(), clock=clock)
        self._limiter = Limiter(bucket, buffer_ms=1)

    async def wait(self) -> None:
        await self._limiter.try_acquire_async("requests")


@dataclass(slots=True, eq=False)
class Pass:
    """One chunk's way through the gate, over all of its attempts; loop times in seconds."""

    sent_at: float = 0.0
    first_failed_at: float | None = None


class Gate:
    """One for all lanes of a run. Whoever passes it is known by its `Pass`.

    Args:
        outage_wait_s: how long an outage is sat out.
        probe_waits_s: the first and the longest wait between an outage's probes.
    """

    def __init__(
        self,
        limiter: RateLimiter,
        outage_wait_s: float,
        probe_waits_s: tuple[float, float] = PROBE_WAITS_S,
    ) -> None:
        self._limiter = limiter
        self._outage_wait_s = outage_wait_s
        self._probe_waits_s = probe_waits_s
        self._stopped = asyncio.Event()
        self._not_before = 0.0
        self._failures = 0
        self._reason = ""
        self._outage_since: float | None = None
        self._probe_wait_s = probe_waits_s[0]
        self._prober: Pass | None = None
        self._answered_sent_at = 0.0
        self._changed = asyncio.Event()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        self._stopped.set()

    async def sleep(self, seconds: float) -> None:
        """Wait; raises Stopped when the run ends meanwhile."""
        await self._unless_stopped(asyncio.sleep(seconds))

    async def pass_through(self, pass_: Pass) -> None:
        """Return when a request may be sent.

        Raises:
            Stopped: the run ends.
            EndpointUnreachable: the outage outlasted the outage wait.
        """
        await self._unless_stopped(self._admit(pass_))

    def slow_down(self, seconds: float) -> None:
        """Nobody sends for so long: a 429 concerns every lane."""
        self._not_before = max(self._not_before, _now() + seconds)

    def succeeded(self, pass_: Pass) -> None:
        """An answer came, whatever it said, so the endpoint is there."""
        self._failures = 0
        self._outage_since = None
        self._answered_sent_at = max(self._answered_sent_at, pass_.sent_at)
        self._hand_on()

    def failed(self, pass_: Pass, reason: str, *, answered: bool) -> bool:
        """A connect error, a lost connection or, `answered`, a 5xx.

        True: an outage, which costs no retry. Not so for a chunk that is answered with 5xx after
        others, sent since its first failure, were served: then it is the chunk.
        """
        now = _now()
        if pass_.first_failed_at is None:
            pass_.first_failed_at = now
        self._failures += 1
        self._reason = reason
        if self._failures < FAILURES_TO_OUTAGE:
            return False
        if self._outage_since is None:
            self._outage_since = now
            self._probe_wait_s = self._probe_waits_s[0]
        # The lanes take turns, lest all depend on a chunk that the endpoint cannot stomach.
        self.leave(pass_)
        return not (answered and self._answered_sent_at > pass_.first_failed_at)

    def leave(self, pass_: Pass) -> None:
        """It will not probe now, so another may."""
        if self._prober is pass_:
            self._hand_on()

    async def _admit(self, pass_: Pass) -> None:
        while True:
            await self._sit_out_outage(pass_)
            # Somebody may be told to wait longer while we do.
            while (wait_s := self._not_before - _now()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(wait_s)
            await self._limiter.wait()
            now = _now()
            # An outage or a 429 may have come while this one waited for its turn.
            may_send = self._outage_since is None or self._prober is pass_
            if may_send and now >= self._not_before:
                pass_.sent_at = now
                return

    async def _sit_out_outage(self, pass_: Pass) -> None:
        """Return when there is none, or when it falls to this one to probe."""
        while self._outage_since is not None and self._prober is not pass_:
            if self._prober is None:
                self._prober = pass_
                await self._before_probe(self._outage_since)
            else:
                # Waiters wake in the order they came in, so each gets its turn.
                await self._changed.wait()

    async def _before_probe(self, since: float) -> None:
        """One request at a time asks whether the endpoint is back."""
        left_s = self._outage_wait_s - (_now() - since)
        if left_s <= 0:
            raise EndpointUnreachable(
                f"the endpoint could not be reached for {self._outage_wait_s:.0f} s (at last: "
                f"{self._reason}); what was transcribed is stored, run the same command again "
                "to go on"
            )
        wait_s = min(self._probe_wait_s, left_s)
        self._probe_wait_s = min(self._probe_waits_s[1], 2 * self._probe_wait_s)
        # An answer to what was sent before the outage may end it meanwhile.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), wait_s)

    def _hand_on(self) -> None:
        self._prober = None
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        if self.stopped:
            work.close()
            raise Stopped
        working = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            working.cancel()
            await asyncio.gather(working, stopped, return_exceptions=True)
        if self.stopped:
            raise Stopped
        working.result()


def _now() -> float:
    return asyncio.get_running_loop().time()

"""When lanes may send: rate limit, the server's wish to slow down, outages, the end of the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from pyrate_limiter import GCRA, Duration, InMemoryStateStore, Limiter, Rate, StateBucket

from sttbatch.core.errors import EndpointUnreachable, Stopped

FAILURES_TO_OUTAGE = 3
PROBE_WAITS_S = (0.5, 15.0)
"""An outage's probes wait at first 0.5 s, then twice as long each time, up to 15 s."""

PROBES_IN_A_ROW = 4
"""Then another chunk probes: one that the endpoint cannot stomach must not stand for all."""

BURST_SHARE = 0.02


class RateLimiter:
    """At most `per_minute` requests in any 60 s, evenly spaced but for a burst of 2 %."""

    def __init__(self, per_minute: int) -> None:
        burst = max(1, int(per_minute * BURST_SHARE))
        # A full burst and the steady flow may fall into one minute; together they keep to it.
        rate = Rate(per_minute - burst + 1, Duration.MINUTE, burst=burst)
        bucket = StateBucket([rate], algorithm=GCRA(), store=InMemoryStateStore())
        self._limiter = Limiter(bucket, buffer_ms=1)

    async def wait(self) -> None:
        await self._limiter.try_acquire_async("requests")


class Gate:
    """One for all lanes of a run. Whoever passes it is known by its `Pass`.

    Args:
        outage_wait_s: how long an outage is sat out.
    """

    def __init__(self, limiter: RateLimiter, outage_wait_s: float) -> None:
        self._limiter = limiter
        self._outage_wait_s = outage_wait_s
        self._stopped = asyncio.Event()
        self._not_before = 0.0
        self._failures = 0
        self._outage_since: float | None = None
        self._probe_wait_s = PROBE_WAITS_S[0]
        self._prober: Pass | None = None
        self._last_prober: Pass | None = None
        self._waiting = 0
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
        self._not_before = max(self._not_before, time.monotonic() + seconds)

    def succeeded(self) -> None:
        """An answer came, whatever it said, so the endpoint is there."""
        self._failures = 0
        self._outage_since = None
        self._prober = None
        self._wake()

    def failed(self, pass_: Pass) -> bool:
        """A connect error, a 5xx or a lost connection. True: an outage, which costs no retry."""
        self._failures += 1
        if self._failures < FAILURES_TO_OUTAGE:
            return False
        if self._outage_since is None:
            self._outage_since = time.monotonic()
            self._probe_wait_s = PROBE_WAITS_S[0]
        if self._prober is pass_:
            pass_.probes += 1
            if pass_.probes % PROBES_IN_A_ROW == 0:
                self._last_prober = pass_
                self._hand_on()
        return True

    def leave(self, pass_: Pass) -> None:
        """This chunk is done, one way or the other."""
        if self._prober is pass_:
            self._hand_on()

    async def _admit(self, pass_: Pass) -> None:
        while self._outage_since is not None:
            yields = self._last_prober is pass_ and self._waiting > 0
            if self._prober is None and not yields:
                self._prober = pass_
            if self._prober is pass_:
                await self._before_probe(self._outage_since)
                break
            self._waiting += 1
            try:
                await self._changed.wait()
            finally:
                self._waiting -= 1
        # Somebody may be told to wait longer while we do.
        while (wait_s := self._not_before - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait_s)
        await self._limiter.wait()

    async def _before_probe(self, since: float) -> None:
        """One request at a time asks whether the endpoint is back."""
        left_s = self._outage_wait_s - (time.monotonic() - since)
        if left_s <= 0:
            raise EndpointUnreachable(
                f"the endpoint could not be reached for {self._outage_wait_s:.0f} s; what was "
                "transcribed is stored, run the same command again to go on"
            )
        wait_s = min(self._probe_wait_s, left_s)
        self._probe_wait_s = min(PROBE_WAITS_S[1], 2 * self._probe_wait_s)
        await asyncio.sleep(wait_s)

    def _hand_on(self) -> None:
        self._prober = None
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        working = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            working.cancel()
            await asyncio.gather(working, stopped, return_exceptions=True)
        if working.cancelled():
            raise Stopped
        working.result()


@dataclass(slots=True, eq=False)
class Pass:
    """One chunk's way through the gate, over all of its attempts; `probes` that failed."""

    probes: int = 0

"""When lanes may send: rate limit, the server's wish to slow down, outages, the end of the run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from sttbatch.core.errors import EndpointUnreachable, Stopped
from sttbatch.external.cloudru.rate_limit import RateLimits
from sttbatch.external.cloudru.rate_store import RateStore

FAILURES_TO_OUTAGE = 3
PROBE_WAITS_S = (0.5, 15.0)
"""An outage's probes wait at first 0.5 s, then twice as long each time, up to 15 s."""


class RateLimiter:
    """Slots of one process, out of those that it shares with all others.

    Args:
        clock: seconds; the same in all processes that share the store.
    """

    def __init__(
        self,
        limits: RateLimits,
        store: RateStore | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._store = store or RateStore()
        self._clock = clock

    async def wait(self, audio_s: float = 0.0) -> bool:
        """Wait for a slot of our own; False: it is lost, as a 429 came to some process meanwhile.

        A slot that is waited for in vain, or by a lane that is stopped, goes to nobody else.
        """
        # The clock is read once the state is ours: there may be a wait before.
        slot = await self._store.change(
            lambda state: self._limits.take_slot(state, self._clock(), audio_s)
        )
        wait_s = slot - self._clock()
        if wait_s <= 0:
            return True
        await asyncio.sleep(wait_s)
        # All who hold a slot by now would send at once if they only slept on.
        return await self._store.change(lambda state: state.not_before) <= slot

    async def slow_down(self, seconds: float) -> None:
        """No slot in any process for so long."""
        await self._store.change(
            lambda state: self._limits.slow_down(state, self._clock(), seconds)
        )

    async def aclose(self) -> None:
        await self._store.aclose()


@dataclass(slots=True, eq=False)
class Pass:
    """One chunk's way through the gate, over all of its attempts; loop times in seconds.

    Attributes:
        audio_s: seconds of audio in each of its requests.
        rate_wait_s: how long the latest request waited for its slot.
    """

    audio_s: float = 0.0
    rate_wait_s: float = 0.0
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
        # Lanes take their slots in the order they come in, one at a time: each process holds one
        # slot at most, so all processes have equal shares and little is lost when one ends.
        self._turn = asyncio.Lock()
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

    async def slow_down(self, seconds: float) -> None:
        """Nobody sends for so long: a 429 concerns every lane of every process."""
        if seconds > 0:
            await self._limiter.slow_down(seconds)

    async def aclose(self) -> None:
        await self._limiter.aclose()

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
        pass_.rate_wait_s = 0.0
        while True:
            await self._sit_out_outage(pass_)
            asked_at = _now()
            async with self._turn:
                may_send = await self._slot(pass_)
            now = _now()
            pass_.rate_wait_s += now - asked_at
            if may_send:
                pass_.sent_at = now
                return

    async def _slot(self, pass_: Pass) -> bool:
        """Wait for a slot; False if it must not be used."""
        if self._is_shut_to(pass_):
            return False
        return await self._limiter.wait(pass_.audio_s) and not self._is_shut_to(pass_)

    def _is_shut_to(self, pass_: Pass) -> bool:
        """An outage began while this one waited for its turn."""
        return self._outage_since is not None and self._prober is not pass_

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

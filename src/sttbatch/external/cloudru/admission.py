"""AdmissionControl: decides when lanes may send, by rate limit, 429, outages and end of the run."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from sttbatch.core.errors import EndpointUnreachable, Stopped
from sttbatch.core.ports import RateStore
from sttbatch.core.ports.rates import RateState
from sttbatch.external.cloudru.rate_limit import RateLimits

FAILURES_TO_OUTAGE = 3
PROBE_WAITS_S = (0.5, 15.0)
"""The first wait between the probes of an outage, which doubles each time, and the maximum."""

REFUSAL_AFTER_S = 60.0
"""An endpoint that lists its models and answered before, but now every request with 503, may have a
short outage of what is behind it; after so many seconds it refuses these requests."""


class RateLimiter:
    """The limits of one process, on slots that all processes with the same store share."""

    def __init__(self, limits: RateLimits, store: RateStore) -> None:
        self._limits = limits
        self._store = store

    async def wait(self, audio_s: float = 0.0) -> bool:
        """Wait for a slot; False: it must not be used, as a process received a 429 meanwhile.

        A slot that is not used is lost.
        """

        def take(state: RateState, now: float) -> tuple[float, float]:
            slot = self._limits.take_slot(state, now, audio_s)
            return slot, slot - now

        slot, wait_s = await self._store.change(take)
        if wait_s <= 0:
            return True
        await asyncio.sleep(wait_s)
        # After a 429, all who wait for a slot need a new one, or they would send at once.
        return await self._store.change(lambda state, _: state.not_before) <= slot

    async def slow_down(self, seconds: float) -> None:
        """Give out no slot in any process for `seconds`."""
        await self._store.change(lambda state, now: self._limits.slow_down(state, now, seconds))

    async def aclose(self) -> None:
        await self._store.aclose()


@dataclass(slots=True, eq=False)
class AdmissionTicket:
    """The admissions of one chunk over all of its attempts; times are by the loop's clock.

    Attributes:
        audio_s: of each of its requests.
        stopped: set when the run that it belongs to ends.
        rate_wait_s: how long the latest request waited for its slot.
    """

    audio_s: float = 0.0
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    rate_wait_s: float = 0.0
    sent_at: float = 0.0
    first_failed_at: float | None = None


class AdmissionControl:
    """Decides for all lanes of a process when each may send; a ticket identifies a chunk.

    It waits up to `outage_wait_s` for the endpoint to recover.

    Args:
        is_up: whether the endpoint answers anything but transcriptions.
        warn: is called once in each outage that is waited for.

    Attributes:
        refusing: it is up, but answers every request with 503: that is no outage, and such failures
            use up retries.
    """

    def __init__(
        self,
        limiter: RateLimiter,
        outage_wait_s: float,
        probe_waits_s: tuple[float, float] = PROBE_WAITS_S,
        is_up: Callable[[], Awaitable[bool]] | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._is_up = is_up
        self._warn = warn
        self._warned_of: float | None = None
        self.refusing = False
        self._only_503 = True
        self._limiter = limiter
        self._outage_wait_s = outage_wait_s
        self._probe_waits_s = probe_waits_s
        # Lanes take slots one at a time, in their order, so that each process holds one slot at
        # most: all processes have equal shares, and little is lost when one ends.
        self._slot_lock = asyncio.Lock()
        self._failures = 0
        self._reason = ""
        self._outage_since: float | None = None
        self._probe_wait_s = probe_waits_s[0]
        self._prober: AdmissionTicket | None = None
        self._answered_sent_at = -math.inf
        self._given_up_by: asyncio.Event | None = None
        self._changed = asyncio.Event()

    async def admit(self, ticket: AdmissionTicket) -> None:
        """Return when a request may be sent.

        Raises Stopped when the run ends, and EndpointUnreachable after `outage_wait_s`.
        """
        if self._given_up_by not in (None, ticket.stopped):
            # An earlier run gave up; this one checks again whether the endpoint has recovered.
            self._failures, self._outage_since, self._given_up_by = 0, None, None
            self._only_503 = True
        await unless_stopped(ticket, self._admit(ticket))

    async def slow_down(self, seconds: float) -> None:
        """Admit nothing for `seconds`, in any process, after a 429."""
        if seconds > 0:
            await self._limiter.slow_down(seconds)

    async def aclose(self) -> None:
        await self._limiter.aclose()

    def succeeded(self, ticket: AdmissionTicket) -> None:
        """Note that a response came, of any status, so that the endpoint is reachable."""
        self._failures = 0
        self._outage_since = None
        self.refusing, self._only_503 = False, True
        self._answered_sent_at = max(self._answered_sent_at, ticket.sent_at)
        self._wake_waiters()

    def failed(
        self, ticket: AdmissionTicket, reason: str, *, answered: bool, is_503: bool = False
    ) -> bool:
        """Note a connect error, a lost connection or, if `answered`, a 5xx; True: it is an outage.

        An outage uses up no retry. If other chunks that were sent after this one's first failure
        were answered, a 5xx is due to the chunk instead.
        """
        now = _now()
        if ticket.first_failed_at is None:
            ticket.first_failed_at = now
        self._only_503 &= is_503
        self.refusing &= is_503
        if self.refusing:
            return False
        self._failures += 1
        self._reason = reason
        if self._failures < FAILURES_TO_OUTAGE:
            return False
        if self._outage_since is None:
            self._outage_since = now
            self._probe_wait_s = self._probe_waits_s[0]
        # Lanes take turns at probing, as this chunk may always fail.
        self.release(ticket)
        return not (answered and self._answered_sent_at > ticket.first_failed_at)

    def release(self, ticket: AdmissionTicket) -> None:
        """Let another chunk probe the endpoint, if this one was about to."""
        if self._prober is ticket:
            self._wake_waiters()

    async def _admit(self, ticket: AdmissionTicket) -> None:
        ticket.rate_wait_s = 0.0
        while True:
            await self._wait_for_recovery(ticket)
            begun = _now()
            async with self._slot_lock:
                may_send = (
                    not self._must_wait(ticket)
                    and await self._limiter.wait(ticket.audio_s)
                    and not self._must_wait(ticket)
                )
            now = _now()
            ticket.rate_wait_s += now - begun
            if may_send:
                ticket.sent_at = now
                return

    def _must_wait(self, ticket: AdmissionTicket) -> bool:
        """Whether there is an outage that this chunk does not probe."""
        return self._outage_since is not None and self._prober is not ticket

    async def _wait_for_recovery(self, ticket: AdmissionTicket) -> None:
        """Return when there is no outage, or when it is this chunk's turn to probe."""
        while self._outage_since is not None and self._prober is not ticket:
            if self._prober is None:
                self._prober = ticket
                await self._before_probe(ticket, self._outage_since)
            else:
                # Waiters wake in their order, so that each gets its turn.
                await self._changed.wait()

    async def _before_probe(self, ticket: AdmissionTicket, since: float) -> None:
        """Wait until the next probe, a single request that finds out whether the outage is over."""
        outage_s = _now() - since
        if await self._is_refusal(outage_s):
            self._failures, self._outage_since, self.refusing = 0, None, True
            self._wake_waiters()
            return
        remaining_s = self._outage_wait_s - outage_s
        if remaining_s <= 0:
            self._given_up_by = ticket.stopped
            raise EndpointUnreachable(
                f"the endpoint could not be reached for {self._outage_wait_s:.0f} s (last error: "
                f"{self._reason}); what was transcribed is stored, run the same command again "
                "to continue"
            )
        if self._warned_of != since:
            self._warned_of = since
            self._warn(
                f"the endpoint fails ({self._reason}); waiting up to {self._outage_wait_s:.0f} s "
                "for it to recover"
            )
        wait_s = min(self._probe_wait_s, remaining_s)
        self._probe_wait_s = min(self._probe_waits_s[1], 2 * self._probe_wait_s)
        # A response to an earlier request may end the outage meanwhile.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), wait_s)

    async def _is_refusal(self, outage_s: float) -> bool:
        """Whether the endpoint is up and refuses, rather than that there is an outage."""
        if not self._only_503 or self._is_up is None:
            return False
        # What has never answered a request need not be waited for.
        may_recover = self._answered_sent_at > -math.inf and outage_s < REFUSAL_AFTER_S
        return not may_recover and await self._is_up()

    def _wake_waiters(self) -> None:
        self._prober = None
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


async def unless_stopped(ticket: AdmissionTicket, work: Coroutine[Any, Any, None]) -> None:
    """Await `work`; raises Stopped when the ticket's run ends meanwhile."""
    if ticket.stopped.is_set():
        work.close()
        raise Stopped
    working = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(ticket.stopped.wait())
    try:
        await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        working.cancel()
        await asyncio.gather(working, stopped, return_exceptions=True)
    if ticket.stopped.is_set():
        raise Stopped
    working.result()


def _now() -> float:
    return asyncio.get_running_loop().time()

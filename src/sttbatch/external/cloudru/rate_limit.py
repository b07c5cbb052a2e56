"""How often requests may be sent: slots in time, each given out once, first come, first served.

The rule is GCRA (ITU-T I.371): a theoretical arrival time moves on by one spacing with each slot,
and a slot may come before it by as much as the burst is worth. Two numbers are all there is to
remember, so any number of processes can share them.

Why it keeps to N a minute, and to nearly all of it. With a burst of b = max(1, 2 % of N) slots are
T = 62 s / (N - b + 1) apart. The n-th slot of any interval comes at least (n - b) T after the
first, so an interval of t seconds holds at most t / T + b of them: for t < 62 s fewer than N + 1.
The endpoint counts arrivals, and requests reach it some time after their slots (a first one after
a TLS handshake): as long as those delays differ by less than 2 s, any 60 s there hold at most N.
What is used of the limit when there is always somebody waiting is (60 / 62) (N - b + 1) / N, at
least 94.8 %.

Processes with limits of their own move the one arrival time by their own spacing, so each keeps to
its limit whatever the others do.
"""

from __future__ import annotations

from dataclasses import dataclass

from sttbatch.core.ports.rates import RateState
from sttbatch.external.cloudru.retry_policy import MAX_HINT_S

BURST_SHARE = 0.02
WINDOW_S = 62.0
"""A minute, and 2 s for requests that reach the endpoint later than they were admitted."""

STALE_S = 3600.0
"""A time farther ahead was written before this machine was last started; nobody waits for it."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """One process's limits, of requests and of seconds of audio, as steps of a `RateState`."""

    per_minute: int
    audio_per_minute: float | None = None

    @property
    def spacing_s(self) -> float:
        """Seconds between two slots when there is always somebody waiting."""
        return WINDOW_S / (self.per_minute - self._burst + 1)

    @property
    def _burst(self) -> int:
        return max(1, int(self.per_minute * BURST_SHARE))

    @property
    def _tolerance_s(self) -> float:
        return (self._burst - 1) * self.spacing_s

    def take_slot(self, state: RateState, now: float, audio_s: float) -> float:
        """When the next request, which carries `audio_s` seconds of audio, may be sent.

        The slot is spent, whether it is used or not.
        """
        _forget_impossible(state, now)
        slot = max(now, state.not_before, state.next_at - self._tolerance_s)
        if self.audio_per_minute is not None:
            slot = self._audio_slot(state, slot, audio_s, self.audio_per_minute)
        state.next_at = max(slot, state.next_at) + self.spacing_s
        return slot

    def slow_down(self, state: RateState, now: float, seconds: float) -> None:
        """Give out no slot for so long, and after it none early: the endpoint's count is full.

        A wait longer than MAX_HINT_S is cut short: the recording that was sent it fails instead.
        """
        _forget_impossible(state, now)
        state.not_before = max(state.not_before, now + min(seconds, MAX_HINT_S))
        state.next_at = max(state.next_at, state.not_before + self._tolerance_s)
        if self.audio_per_minute is not None:
            burst_s = BURST_SHARE * WINDOW_S
            state.audio_next_at = max(state.audio_next_at, state.not_before + burst_s)

    def _audio_slot(
        self, state: RateState, earliest: float, audio_s: float, per_minute: float
    ) -> float:
        """Slots evenly spaced by what they carry, never more than `per_minute` in a window.

        Spacing alone would not do: chunks are long, and one that fits half into a minute is sent
        as a whole. One that is longer than a whole minute's worth goes when nothing else was sent
        in the last one, and those after it wait until it is paid off (an hour at most).
        """
        unit_s = WINDOW_S / per_minute
        early_s = max(0.0, BURST_SHARE * per_minute - audio_s) * unit_s
        slot = max(earliest, state.audio_next_at - early_s)
        state.sends.sort()
        carried_s = sum(sent_s for _, sent_s in state.sends)
        for at, sent_s in state.sends:
            if carried_s + audio_s <= per_minute:
                break
            slot = max(slot, at + WINDOW_S)
            carried_s -= sent_s
        state.audio_next_at = max(slot, state.audio_next_at) + audio_s * unit_s
        state.sends.append((slot, audio_s))
        return slot


def _forget_impossible(state: RateState, now: float) -> None:
    """Drop times that no process can have written since this machine was started."""
    if state.next_at > now + STALE_S:
        state.next_at = 0.0
    if state.audio_next_at > now + STALE_S:
        state.audio_next_at = 0.0
    if state.not_before > now + MAX_HINT_S:
        state.not_before = 0.0
    state.sends = [each for each in state.sends if now - WINDOW_S < each[0] <= now + STALE_S]

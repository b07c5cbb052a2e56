"""RateLimits: gives out slots, the times at which requests may be sent.

The rule is GCRA (ITU-T I.371): a theoretical arrival time advances by one spacing with each slot,
and a slot may precede it by the tolerance of the burst. The state is a few numbers, which all
processes can share.

It allows at most N requests a minute, and nearly all of them. With a burst of b = max(1, 2 % of N)
slots are T = 62 s / (N - b + 1) apart. The n-th slot of any interval comes at least (n - b) T after
the first, so an interval of t seconds has at most t / T + b of them: for t < 62 s fewer than N + 1.
The endpoint counts arrivals, which are later than the slots (the first by a TLS handshake): if
those delays differ by less than 2 s, at most N arrive in any 60 s. Under constant load
(60 / 62) (N - b + 1) / N of the limit is used, at least 94.8 %.

Processes with different limits advance the same arrival time by their own spacing, so that each
keeps its limit.
"""

from __future__ import annotations

from msgspec import Struct

from sttbatch.core.ports.rates import RateState
from sttbatch.external.cloudru.retry_policy import MAX_HINT_S

BURST_SHARE = 0.02
WINDOW_S = 62.0
"""A minute, and 2 s for different delays between slots and arrivals."""

STALE_S = 3600.0
"""Times farther ahead were written before the last boot, and are ignored."""


class RateLimits(Struct, frozen=True):
    """The limits of one process, of requests and seconds of audio, on a shared `RateState`."""

    per_minute: int
    audio_per_minute: float | None = None

    @property
    def spacing_s(self) -> float:
        """Seconds between two slots under constant load."""
        return WINDOW_S / (self.per_minute - self._burst + 1)

    @property
    def _burst(self) -> int:
        return max(1, int(self.per_minute * BURST_SHARE))

    @property
    def _tolerance_s(self) -> float:
        return (self._burst - 1) * self.spacing_s

    def take_slot(self, state: RateState, now: float, audio_s: float) -> float:
        """Take the next slot, for `audio_s` seconds of audio; it is spent even if unused."""
        _forget_impossible(state, now)
        slot = max(now, state.not_before, state.next_at - self._tolerance_s)
        if self.audio_per_minute is not None:
            slot = self._audio_slot(state, slot, audio_s, self.audio_per_minute)
        state.next_at = max(slot, state.next_at) + self.spacing_s
        return slot

    def slow_down(self, state: RateState, now: float, seconds: float) -> None:
        """Give out no slot for `seconds`, at most MAX_HINT_S, and no burst after it."""
        _forget_impossible(state, now)
        state.not_before = max(state.not_before, now + min(seconds, MAX_HINT_S))
        state.next_at = max(state.next_at, state.not_before + self._tolerance_s)
        if self.audio_per_minute is not None:
            burst_s = BURST_SHARE * WINDOW_S
            state.audio_next_at = max(state.audio_next_at, state.not_before + burst_s)

    def _audio_slot(
        self, state: RateState, earliest: float, audio_s: float, per_minute: float
    ) -> float:
        """Slots spaced by their audio, with at most `per_minute` seconds of it in a window.

        Spacing alone is not enough, since chunks are long and sent as a whole. One that exceeds the
        limit alone is sent after a window without any other, and those after it wait longer.
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
    """Drop times that no process can have written since the last boot."""
    if state.next_at > now + STALE_S:
        state.next_at = 0.0
    if state.audio_next_at > now + STALE_S:
        state.audio_next_at = 0.0
    if state.not_before > now + MAX_HINT_S:
        state.not_before = 0.0
    state.sends = [sent for sent in state.sends if now - WINDOW_S < sent[0] <= now + STALE_S]

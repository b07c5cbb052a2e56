"""How often the endpoint may be asked: slots in time, each given out once, in the order of asking.

The rule is GCRA (ITU-T I.371): a theoretical arrival time moves on by one spacing with each slot,
and a slot may come before it by as much as the burst is worth. Two numbers are all there is to
remember, so any number of processes can share them.

Why it keeps to N a minute, and to nearly all of it. With a burst of b = max(1, 2 % of N) slots are
T = 62 s / (N - b + 1) apart. The n-th slot of any stretch comes at least (n - b) T after the
first, so a stretch of t seconds holds at most t / T + b of them: for t < 62 s fewer than N + 1.
The endpoint counts arrivals, and requests reach it some time after their slots (a first one after
a TLS handshake): as long as those delays differ by less than 2 s, any 60 s there hold at most N.
What is used of the limit when there is always somebody waiting is (60 / 62) (N - b + 1) / N, at
least 94.8 %.

Processes with limits of their own move the one arrival time by their own spacing, so each keeps to
its limit whatever the others do.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from sttbatch.external.cloudru.retry_policy import MAX_HINT_S

BURST_SHARE = 0.02
WINDOW_S = 62.0
"""A minute, and 2 s for requests that reach the endpoint later than they were let through."""

STALE_S = 3600.0
"""A time farther ahead was not written since this machine was started; nobody waits for it."""


class RateState(msgspec.Struct):
    """What has been given out. Times are seconds on a clock that all processes share.

    Attributes:
        next_at: the theoretical arrival time of the next request.
        audio_next_at: the same for audio.
        not_before: the endpoint wants no request before it.
        sends: slots of the last minute and the seconds of audio sent in each, where audio is
            limited.
    """

    next_at: float = 0.0
    audio_next_at: float = 0.0
    not_before: float = 0.0
    sends: list[tuple[float, float]] = msgspec.field(default_factory=list)

    def forget_impossible(self, now: float) -> None:
        """Drop times that no process of this boot can have meant."""
        if self.next_at > now + STALE_S:
            self.next_at = 0.0
        if self.audio_next_at > now + STALE_S:
            self.audio_next_at = 0.0
        if self.not_before > now + MAX_HINT_S:
            self.not_before = 0.0
        self.sends = [each for each in self.sends if now - WINDOW_S < each[0] <= now + STALE_S]


@dataclass(frozen=True, slots=True)
class RateLimits:
    """One process's limits, as steps of a `RateState`.

    Args:
        per_minute: requests.
        audio_per_minute: seconds of audio; None: they are not counted.
    """

    per_minute: int
    audio_per_minute: float | None = None

    @property
    def spacing_s(self) -> float:
        """Between two slots when there is always somebody waiting."""
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
        state.forget_impossible(now)
        slot = max(now, state.not_before, state.next_at - self._tolerance_s)
        if self.audio_per_minute is not None:
            slot = self._audio_slot(state, slot, audio_s, self.audio_per_minute)
        state.next_at = max(slot, state.next_at) + self.spacing_s
        return slot

    def slow_down(self, state: RateState, now: float, seconds: float) -> None:
        """Give out no slot for so long, and after it none early: the endpoint's count is full.

        More than MAX_HINT_S is not kept, as such a wait ends the file that was told so.
        """
        state.forget_impossible(now)
        state.not_before = max(state.not_before, now + min(seconds, MAX_HINT_S))
        state.next_at = max(state.next_at, state.not_before + self._tolerance_s)
        if self.audio_per_minute is not None:
            burst_s = BURST_SHARE * WINDOW_S
            state.audio_next_at = max(state.audio_next_at, state.not_before + burst_s)

    def _audio_slot(
        self, state: RateState, earliest: float, audio_s: float, per_minute: float
    ) -> float:
        """Evenly spaced by what they carry, and never more than `per_minute` in a window.

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

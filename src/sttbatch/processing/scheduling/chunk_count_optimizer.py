"""Into how many chunks the recordings of a batch are cut, so that the batch ends soonest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sttbatch.processing.scheduling.makespan import Lanes, LaneSchedule

SLACK = 1.05
"""The splitter sends no remainder of its own that is this little over the target."""

WORTH_A_REQUEST = 1.01
"""A batch that ends within 1 % of the soonest with fewer requests is better."""

SIMULATED_CHUNKS = 1_000
"""More of them need no simulation: the last round is less than 1 % of the whole."""

_STEP = 0.95
"""Between the chunk lengths that are tried; each number of chunks up to 20 is met."""


@dataclass(frozen=True, slots=True)
class BatchCuts:
    """What a chunk of each recording should last, in seconds.

    Attributes:
        target_s: of recordings before the `tail_from`-th, in the order they run.
        tail_s: of that one and all after it.
        chunks, makespan_s: of the whole batch.
    """

    target_s: float
    tail_s: float
    tail_from: int
    chunks: int
    makespan_s: float

    def target_of(self, position: int) -> float:
        """Seconds for the recording that runs as number `position`, counted from 0."""
        return self.tail_s if position >= self.tail_from else self.target_s


def pieces(audio_s: float, target_s: float) -> int:
    """Chunks that the splitter makes of it, all of about one length; 0 where nothing is left."""
    return math.ceil(audio_s / (target_s * SLACK)) if audio_s > 0 else 0


def cut_batch(lengths_s: Sequence[float], lanes: Lanes, floor_s: float, top_s: float) -> BatchCuts:
    """Cut every recording at `top_s`, but the last ones shorter where lanes would run empty.

    The recordings that run last decide when the last lane ends, so for the last one, two, four …
    shorter lengths are tried in a simulated schedule, down to `floor_s`.

    Args:
        lengths_s: what is left to send of each recording, in the order they run.
        lanes: what they run through.
        floor_s: no chunk should be shorter.
        top_s: nor longer; the length of all chunks where nothing is gained by cutting.
    """
    schedule, forks = _at_the_target(lengths_s, lanes, top_s)
    at_top = BatchCuts(top_s, top_s, len(lengths_s), schedule.chunks, schedule.makespan_s)
    if at_top.makespan_s <= WORTH_A_REQUEST * schedule.bound_s or lanes.count == 1:
        return at_top
    found = [at_top]
    soonest_s = at_top.makespan_s
    for start, fork in forks.items():
        tail = lengths_s[start:]
        for tail_s in _lengths_to_try(tail, floor_s, top_s):
            trial = _with_tail(fork, tail, tail_s, soonest_s * WORTH_A_REQUEST)
            if trial is None:
                continue
            cuts = BatchCuts(top_s, tail_s, start, trial.chunks, trial.makespan_s)
            soonest_s = min(soonest_s, cuts.makespan_s)
            found.append(cuts)
    good = [each for each in found if each.makespan_s <= WORTH_A_REQUEST * soonest_s]
    return min(good, key=lambda each: (each.chunks, each.makespan_s, -each.tail_s))


def _at_the_target(
    lengths_s: Sequence[float], lanes: Lanes, top_s: float
) -> tuple[LaneSchedule, dict[int, LaneSchedule]]:
    """The whole batch at the target, and what it looks like before its last 1, 2, 4 … recordings.

    Tails of more chunks than are worth a simulation are left out.
    """
    counts = [pieces(each, top_s) for each in lengths_s]
    begin, simulated = len(counts), 0
    while begin and simulated + counts[begin - 1] <= SIMULATED_CHUNKS:
        begin -= 1
        simulated += counts[begin]
    starts = {len(counts) - 2**power for power in range(len(counts).bit_length())} | {begin}
    schedule = LaneSchedule(lanes, len(counts))
    schedule.add_evenly(sum(lengths_s[:begin]), sum(counts[:begin]))
    forks = {}
    for start in range(begin, len(counts)):
        if start in starts:
            forks[start] = schedule.copy()
        schedule.add(lengths_s[start], counts[start])
    return schedule, forks


def _lengths_to_try(tail: Sequence[float], floor_s: float, top_s: float) -> Iterator[float]:
    shortest_s = max(floor_s, sum(tail) / SIMULATED_CHUNKS)
    # What is longer than every recording cuts nothing.
    top_s = min(top_s, max(tail))
    length_s = top_s * _STEP
    while length_s > shortest_s:
        yield length_s
        length_s *= _STEP
    if shortest_s < top_s:
        yield shortest_s


def _with_tail(
    fork: LaneSchedule, tail: Sequence[float], tail_s: float, late_s: float
) -> LaneSchedule | None:
    """The batch with this end, unless it is already late before it ends."""
    trial = fork.copy()
    for each in tail:
        trial.add(each, pieces(each, tail_s))
        if trial.bound_s > late_s:
            return None
    return trial

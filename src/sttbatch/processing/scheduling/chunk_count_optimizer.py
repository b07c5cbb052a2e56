"""Chooses the numbers of chunks of recordings so that their batch ends as soon as possible."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from msgspec import Struct

from sttbatch.processing.scheduling.makespan import LaneCapacity, LaneSchedule

SLACK = 1.05
"""The splitter's last chunk may be this multiple of the target."""

WORTH_A_REQUEST = 1.01
"""Fewer requests are preferred among batches that end within 1 % of the soonest."""

SIMULATED_CHUNKS = 1_000
"""More chunks are not simulated: the last round is less than 1 % of the whole."""

_STEP = 0.95
"""The ratio of successive trial lengths, which includes each number of chunks up to 20."""


class BatchCuts(Struct, frozen=True):
    """The lengths of the chunks of a batch, in seconds.

    Attributes:
        target_s: for recordings before position `tail_from`, in the order in which they run.
        tail_s: for that recording and all later ones.
        chunks, makespan_s: of the whole batch.
    """

    target_s: float
    tail_s: float
    tail_from: int
    chunks: int
    makespan_s: float

    def target_of(self, position: int) -> float:
        """The chunk length for the recording at `position`, counted from 0."""
        return self.tail_s if position >= self.tail_from else self.target_s


def pieces(audio_s: float, target_s: float) -> int:
    """The number of chunks of about equal length that the splitter cuts; 0 for no audio."""
    return math.ceil(audio_s / (target_s * SLACK)) if audio_s > 0 else 0


def cut_batch(
    lengths_s: Sequence[float], lanes: LaneCapacity, floor_s: float, top_s: float
) -> BatchCuts:
    """Cut every recording at `top_s`, and the last ones shorter if lanes would be idle.

    The recordings that run last decide when the last lane ends, so for the last one, two, four …
    shorter lengths are tried in a simulated schedule, down to `floor_s`.

    Args:
        lengths_s: seconds to send of each recording, in the order in which they run.
        lanes: the lanes and cutters of the batch.
        floor_s: the minimum length of a chunk.
        top_s: the maximum length, and that of all chunks if shorter ones gain nothing.
    """
    schedule, forks = _at_the_target(lengths_s, lanes, top_s)
    at_top = BatchCuts(top_s, top_s, len(lengths_s), schedule.chunks, schedule.makespan_s)
    if at_top.makespan_s <= WORTH_A_REQUEST * schedule.bound_s or lanes.count == 1:
        return at_top
    candidates = [at_top]
    soonest_s = at_top.makespan_s
    for start, fork in forks.items():
        tail = lengths_s[start:]
        for tail_s in _lengths_to_try(tail, floor_s, top_s):
            trial = _with_tail(fork, tail, tail_s, soonest_s * WORTH_A_REQUEST)
            if trial is None:
                continue
            cuts = BatchCuts(top_s, tail_s, start, trial.chunks, trial.makespan_s)
            soonest_s = min(soonest_s, cuts.makespan_s)
            candidates.append(cuts)
    good = [cuts for cuts in candidates if cuts.makespan_s <= WORTH_A_REQUEST * soonest_s]
    return min(good, key=lambda cuts: (cuts.chunks, cuts.makespan_s, -cuts.tail_s))


def _at_the_target(
    lengths_s: Sequence[float], lanes: LaneCapacity, top_s: float
) -> tuple[LaneSchedule, dict[int, LaneSchedule]]:
    """Schedule the batch at the target, with copies before its last 1, 2, 4 … recordings.

    Tails of more than `SIMULATED_CHUNKS` have no copy.
    """
    counts = [pieces(length_s, top_s) for length_s in lengths_s]
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
    # Chunks longer than every recording cut nothing.
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
    """Schedule the tail at `tail_s`; None: the batch would end after `late_s`."""
    trial = fork.copy()
    for length_s in tail:
        trial.add(length_s, pieces(length_s, tail_s))
        if trial.bound_s > late_s:
            return None
    return trial

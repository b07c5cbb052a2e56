"""Into how many chunks loads are cut, and how far from the bound the batch would end.

Usage: ``python benchmarks/chunk_sizes.py`` in a checkout. Nothing is sent: the schedule is the
simulated one that chunk lengths are decided by, cutting included.

The bound is that for chunks of 300 s, max(sum of latencies / lanes, longest). Below 1.0 are loads
that shorter chunks spread over lanes which 300 s would leave idle. The exit status is always 0.
"""

from __future__ import annotations

import time

from sttbatch.core.models import LatencyModel
from sttbatch.processing.scheduling.chunk_count_optimizer import cut_batch, pieces
from sttbatch.processing.scheduling.latency_model import GUESS
from sttbatch.processing.scheduling.makespan import LaneCapacity, LaneSchedule

TARGET_S = 300.0
FLOOR_S = 30.0

LATENCIES = {
    "0.3 s + 4 ms/s": LatencyModel(0.3, 0.004, 200),
    "2 s + 150 ms/s (no history)": GUESS,
}
LOADS: dict[str, tuple[tuple[float, ...], tuple[int, ...]]] = {
    "6 of 25 to 35 min": ((2100.0, 1980.0, 1860.0, 1740.0, 1620.0, 1500.0), (4, 8)),
    "one hour": ((3600.0,), (4, 8)),
    "one of 20 min": ((1200.0,), (4, 10)),
    "40 of 60 s": ((60.0,) * 40, (4,)),
    "200 of 20 s": ((20.0,) * 200, (8,)),
    "ten hours": ((36_000.0,), (4,)),
    "10,000 of 10 min": ((600.0,) * 10_000, (8,)),
}
ROW = "{:<20} {:>5}  {:>6} {:>9}  {:>9} {:>9}  {:>8}  {:>6} {:>6}  {:>6}"
HEADINGS = (
    *("load", "lanes", "tail,s", "shortened", "at 300 s", "requests", "ends,s"),
    *("300 s", "ours", "ms"),
)
"""Of the last recordings and how many they are; chunks; seconds; times the bound; to decide."""


def row(name: str, lengths: tuple[float, ...], lanes: LaneCapacity) -> str:
    begun = time.process_time()
    cuts = cut_batch(lengths, lanes, FLOOR_S, TARGET_S)
    decided_ms = (time.process_time() - begun) * 1e3
    plain = LaneSchedule(lanes, len(lengths))
    longest_s = 0.0
    for length_s in lengths:
        count = pieces(length_s, TARGET_S)
        plain.add(length_s, count)
        longest_s = max(longest_s, lanes.latency.answer_s(length_s / count))
    bound_s = max(plain.work_s / lanes.count, longest_s)
    shorter = len(lengths) - cuts.tail_from
    return ROW.format(
        name,
        lanes.count,
        f"{cuts.tail_s:.0f}",
        shorter,
        plain.chunks,
        cuts.chunks,
        f"{cuts.makespan_s:.1f}",
        f"{plain.makespan_s / bound_s:.3f}",
        f"{cuts.makespan_s / bound_s:.3f}",
        f"{decided_ms:.1f}",
    )


def main() -> None:
    for title, latency in LATENCIES.items():
        print(f"answers take {title}")
        print(ROW.format(*HEADINGS))
        for name, (lengths, counts) in LOADS.items():
            for count in counts:
                print(row(name, lengths, LaneCapacity(count, latency)))
        print()


if __name__ == "__main__":
    main()

"""The figures of the benchmarks: what they are computed from, and the stand-in that logs it."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest

from benchmarks.endpoint import hear_header
from benchmarks.rate_limit import busiest, share
from benchmarks.recordings import Phrases
from benchmarks.runs import lower_bound_s
from benchmarks.stand_in import Request, Traffic, stand_in


def request(arrived_at_s: float, answered_at_s: float, status: int = 200) -> Request:
    return Request(
        0, arrived_at_s, arrived_at_s, answered_at_s, 1, 1, "2", 10, 1.0, status, 0, ""
    )  # fmt: skip


def test_the_bound_shares_the_latencies_between_lanes() -> None:
    assert lower_bound_s([1200.0], 4, 0.3, 0.004) == pytest.approx(1.5)
    assert lower_bound_s([60.0] * 40, 4, 0.3, 0.004) == pytest.approx(5.4)


def test_the_bound_is_never_below_the_longest_chunk() -> None:
    assert lower_bound_s([100.0], 4, 0.3, 0.004) == pytest.approx(0.7)


def test_refused_requests_are_not_in_flight() -> None:
    traffic = Traffic((request(0.0, 2.0), request(1.0, 3.0), request(1.0, 3.0, 429)), 0.0)
    assert traffic.levels(0.0, 3.0) == [(1.0, 1), (1.0, 2), (1.0, 1)]
    assert traffic.mean_in_flight() == pytest.approx(4 / 3)


def test_levels_count_what_was_in_flight_before() -> None:
    traffic = Traffic((request(0.0, 4.0), request(2.0, 3.0)), 0.0)
    assert traffic.levels(1.0, 4.0) == [(1.0, 1), (1.0, 2), (1.0, 1)]


def test_even_requests_use_the_whole_limit() -> None:
    arrivals_s = [k / 4 for k in range(300)]
    assert share(arrivals_s) == pytest.approx(1.0)
    assert busiest([request(at_s, at_s) for at_s in arrivals_s]) == 240


@pytest.mark.slow
def test_the_stand_in_tells_what_came_in(tmp_path: Path) -> None:
    phrases = Phrases()
    (exact_s,) = phrases.folder(tmp_path / "talks", [20.0])
    (path,) = (tmp_path / "talks").iterdir()
    assert hear_header(path.read_bytes()).duration_s == pytest.approx(exact_s)
    with stand_in() as endpoint:
        answer = httpx.post(
            f"{endpoint.base_url}/audio/transcriptions",
            headers={"Authorization": f"Bearer {endpoint.key}"},
            data={"model": "openai/whisper-large-v3", "response_format": "verbose_json"},
            files={"file": (path.name, path.read_bytes(), "audio/mpeg")},
            verify=ssl.create_default_context(cafile=endpoint.ca_file),
        )
        (logged,) = endpoint.traffic().requests
        assert not endpoint.traffic().requests
    (segment,) = answer.json()["segments"]
    assert (segment["start"], segment["end"]) == (0.0, pytest.approx(exact_s, abs=0.001))
    assert logged.status == 200
    assert logged.audio_s == pytest.approx(exact_s)

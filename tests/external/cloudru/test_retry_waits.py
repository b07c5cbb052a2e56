"""How long a chunk that failed waits until it is sent again."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from sttbatch.core.options import Backoff, RetryConfig
from tests.cloudru import CloudRu, Status, make_recording, times_per_chunk
from tests.shell import Shell


@pytest.mark.parametrize(
    ("backoff", "waits_s"),
    [
        (Backoff.FIXED, [2.0, 2.0, 2.0, 2.0]),
        (Backoff.LINEAR, [2.0, 4.0, 6.0, 7.0]),
        (Backoff.EXPONENTIAL, [2.0, 4.0, 7.0, 7.0]),
    ],
)
def test_waits_grow_as_they_are_told_to(backoff: Backoff, waits_s: list[float]) -> None:
    config = RetryConfig(backoff, 2.0, 7.0)
    drawn = [[config.wait_s(failures) for _ in range(200)] for failures in (1, 2, 3, 30)]
    for longest_s, waits in zip(waits_s, drawn, strict=True):
        if backoff is Backoff.EXPONENTIAL:
            assert 0 <= min(waits) < 0.3 * longest_s < 0.7 * longest_s < max(waits) <= longest_s
        else:
            assert set(waits) == {longest_s}


@pytest.mark.parametrize(("backoff", "least_s"), [("fixed", [0.2, 0.2]), ("linear", [0.2, 0.4])])
def test_settings_say_how_long(
    shell: Shell, cloudru: CloudRu, tmp_path: Path, backoff: str, least_s: list[float]
) -> None:
    make_recording(tmp_path / "talk.wav", duration_s=6, sample_rate=8_000, channels=1)
    shell.extra |= {"STTBATCH_RETRY_BACKOFF": backoff, "STTBATCH_RETRY_BASE": "0.2s"}
    cloudru.faults = times_per_chunk(2, Status(408))
    assert shell.transcribe(tmp_path / "talk.wav").code == 0
    posts = cloudru.received
    waited = [b.arrived_at_s - (a.answered_at_s or 0.0) for a, b in pairwise(posts)]
    assert len(waited) == len(least_s)
    assert all(wait_s >= least for wait_s, least in zip(waited, least_s, strict=True)), waited


def test_a_wrong_setting_is_named(shell: Shell) -> None:
    shell.extra["STTBATCH_RETRY_BACKOFF"] = "random"
    result = shell.run("config", "show")
    assert result.code == 2
    assert "STTBATCH_RETRY_BACKOFF: retry_backoff = 'random'" in result.err

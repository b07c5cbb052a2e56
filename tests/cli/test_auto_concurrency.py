"""`-j auto` against a real endpoint that bears three requests at once."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cloudru import Received, make_recording
from tests.cloudru.faults import Fault, Status
from tests.shell import Shell, texts, words_of

BEARABLE = 3


def test_rises_until_it_is_refused_and_nothing_is_lost(shell: Shell, tmp_path: Path) -> None:
    endpoint = shell.endpoint
    assert endpoint is not None
    # Longer than several chunks take to be cut, so that lanes are what is short.
    endpoint.latency_s = 0.5

    def refuse(_: Received) -> Fault | None:
        return Status(429) if endpoint.log.in_flight > BEARABLE else None

    endpoint.faults = refuse
    words = make_recording(tmp_path / "talk.wav", duration_s=300.0, sample_rate=8_000, channels=1)
    result = shell.transcribe(
        tmp_path / "talk.wav", "--chunk-duration", "10", "-j", "auto", "--log-format", "json"
    )
    assert result.code == 0, result.err
    assert words_of(tmp_path / "talk.json") == texts(words)
    lines = [json.loads(line) for line in result.err.splitlines() if line.startswith("{")]
    changes = [line for line in lines if line["event"] == "ConcurrencyChanged"]
    assert (changes[0]["old"], changes[0]["new"]) == (2, 4)
    assert any("429" in line["reason"] for line in changes)
    first = next(at for at, line in enumerate(changes) if "429" in line["reason"])
    # Now and then one above is tried again, perhaps when the run ends.
    assert all(line["new"] <= BEARABLE + 1 for line in changes[first:])
    refused = sum(post.status == 429 for post in endpoint.received)
    assert 1 <= refused <= 4

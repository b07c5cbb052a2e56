"""The Python API does what the command line does; the page's examples are run as they stand."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import sttbatch
from tests.cloudru import CloudRu, make_recording
from tests.shell import Shell

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.fixture
def spoken(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Recordings in `talks`, by name what they say; this process is as the command line has it."""
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STTBATCH_CACHE_DIR", str(shell.home / "cache"))
    monkeypatch.chdir(shell.home)
    Path("talks").mkdir()
    words = {}
    for number, name in enumerate(("a.wav", "b.wav", "c.wav")):
        truth = make_recording(
            Path("talks", name), duration_s=4.0 + number, first_word=100 * number
        )
        words[name] = " ".join(word.text for word in truth)
    return words


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_the_examples_of_the_page(
    spoken: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = examples()
    exec(first, {})
    *lines, cost = capsys.readouterr().out.splitlines()
    assert sorted(lines) == [f"talks/{name} done {text}" for name, text in spoken.items()]
    assert float(cost) > 0
    names: dict[str, Any] = {}
    exec(second, names)
    assert sorted(asyncio.run(names["transcribe_all"]())) == sorted(spoken.values())
    assert (Path("transcripts") / "a.srt").is_file()


def test_results_come_while_others_are_sent(spoken: dict[str, str], cloudru: CloudRu) -> None:
    cloudru.faults = lambda post: cloudru.hold() if post.number == 1 else None
    client = sttbatch.Client(concurrency=1)
    results = iter(client.transcribe("talks"))
    first = next(results)
    assert first.outcome == "done"
    assert first.text == spoken[first.path.name]
    cloudru.resume()
    assert sorted(result.path.name for result in results) == sorted({*spoken} - {first.path.name})


def test_leaving_the_loop_stores_what_is_in_flight(
    spoken: dict[str, str], cloudru: CloudRu
) -> None:
    client = sttbatch.Client(concurrency=1)
    for _ in client.transcribe("talks"):
        break
    sent = len(cloudru.received)
    results = list(client.transcribe("talks"))
    assert {result.text for result in results} == set(spoken.values())
    assert len(cloudru.received) == len(spoken)
    assert sum(result.cached for result in results) == sent


def test_what_concerns_all_recordings_is_raised(spoken: dict[str, str]) -> None:
    results: list[sttbatch.RecordingResult] = []
    with pytest.raises(sttbatch.SttbatchError, match="--max-cost 0"):
        results.extend(sttbatch.Client().transcribe("talks", max_cost=0))
    assert [(result.outcome, result.transcript) for result in results] == [("left", None)] * 3


def test_a_wrong_setting_or_path_is_said_at_once(spoken: dict[str, str]) -> None:
    with pytest.raises(sttbatch.SttbatchError, match="no setting 'langauge'"):
        sttbatch.Client(langauge="ru")
    with pytest.raises(sttbatch.SttbatchError, match="nowhere: no such file"):
        list(sttbatch.Client().transcribe("nowhere"))
    assert len(spoken) == len(list(Path("talks").iterdir()))

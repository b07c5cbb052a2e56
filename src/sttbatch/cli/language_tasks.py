"""Makers of tasks from options, for the commands that run and submit them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import SUMMARY, TRANSLATION
from sttbatch.core.options import OUTPUT_FORMATS

if TYPE_CHECKING:
    from sttbatch.composition.language_runs import ChosenModel
    from sttbatch.kinds.language.task import LanguageTask


_LARGEST_PROMPT_BYTES = 1 << 18

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


def task_of_kind(
    kind: str,
    language: str | None,
    formats: str | None,
    *,
    style: str | None,
    prompt_file: Path | None,
    glossary: str | None,
    max_cps: float | None,
) -> KindOfTask | None:
    """The task of a kind; None: transcription. Raises UsageError for options of another kind."""
    others: dict[str, object] = {}
    if kind != SUMMARY:
        others |= {"--style": style, "--prompt-file": prompt_file}
    if kind != TRANSLATION:
        others["--max-cps"] = max_cps
    if kind not in {SUMMARY, TRANSLATION}:
        others["--to"] = language
    if given := [name for name, value in others.items() if value is not None]:
        raise UsageError(f"{', '.join(given)}: not for --kind {kind}")
    terms = None if glossary is None else Path(glossary)
    if kind == TRANSLATION:
        if language is None:
            raise UsageError("--kind translation needs --to, such as --to en")
        return translation(language, formats or "srt", terms, max_cps)
    if kind == SUMMARY:
        return summary(style or "brief", language, formats or "md,json", prompt_file, terms)
    return None


def summary(
    style: str,
    language: str | None,
    formats: str,
    prompt_file: Path | None,
    glossary: Path | None = None,
) -> KindOfTask:
    """The task of a summary.

    Raises UsageError for an unknown style, or a file that is no prompt or no glossary.
    """
    from sttbatch.kinds.language.glossaries import read_terms
    from sttbatch.kinds.summarization.summary import Style, SummaryOptions

    if style not in set(Style):
        raise UsageError(f"--style is {', '.join(Style)}, not {style!r}")
    instruction = _prompt(prompt_file) if prompt_file is not None else None
    terms = tuple(read_terms(glossary)) if glossary is not None else ()

    def make(model: ChosenModel) -> LanguageTask[Any]:
        from sttbatch.kinds.summarization.task import SummaryTask

        return SummaryTask(
            SummaryOptions(
                model.name,
                model.context_tokens,
                Style(style),
                language,
                instruction=instruction,
                terms=terms,
            )
        )

    endings = tuple(f"summary.{name}" for name in formats_of(formats, ("md", "json")))
    return KindOfTask(make, endings)


def translation(
    language: str,
    formats: str,
    glossary: Path | None,
    max_cps: float | None,
) -> KindOfTask:
    """The task of a translation; raises UsageError for a file that is no glossary."""
    from sttbatch.kinds.language.glossaries import read_glossary

    terms = read_glossary(glossary) if glossary is not None else {}

    def make(model: ChosenModel) -> LanguageTask[Any]:
        from sttbatch.kinds.translation.task import TranslationTask
        from sttbatch.kinds.translation.translator import TranslationOptions
        from sttbatch.kinds.translation.windows import window_tokens

        most = window_tokens(model.context_tokens)
        return TranslationTask(TranslationOptions(model.name, language, terms, max_cps, most))

    endings = tuple(f"{language}.{name}" for name in formats_of(formats, OUTPUT_FORMATS))
    return KindOfTask(make, endings)


def _prompt(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_PROMPT_BYTES + 1).decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not valid UTF-8"
        raise UsageError(f"--prompt-file {path}: {reason}") from error
    if not text or len(text) > _LARGEST_PROMPT_BYTES:
        raise UsageError(f"--prompt-file {path}: it is empty, or larger than 256 KiB")
    return text

"""sttbatch summarize: what was said in short, with the time of each point."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sttbatch.cli.language_options import LanguageArguments, run_task, takes_language_arguments
from sttbatch.cli.language_tasks import check_language, summary
from sttbatch.cli.options import option
from sttbatch.core.errors import UsageError

_LARGEST_PROMPT_BYTES = 1 << 18

# fmt: off
Style = Annotated[str, option(
    "brief: what matters most; minutes: each subject and what came of it; actions: what was agreed "
    "on and what is to be done.", metavar="brief|minutes|actions")]
Language = Annotated[str | None, option(
    "Language of the summary, as an ISO-639-1 code.", "--language", "-l", metavar="CODE",
    default="that of the transcript")]
Formats = Annotated[str, option(
    "Output formats, separated by commas: md, json.", "--format", "-f", metavar="LIST")]
PromptFile = Annotated[Path | None, option(
    "File with what the model is asked for, in place of sttbatch's own words; the form of the "
    "answer and all checks stay.", metavar="FILE")]
# fmt: on


@takes_language_arguments
def summarize(
    arguments: LanguageArguments,
    style: Style = "brief",
    language: Language = None,
    formats: Formats = "md,json",
    prompt_file: PromptFile = None,
) -> None:
    """Summarize transcripts: talk.mp3 gets talk.summary.md and talk.summary.json.

    Points, decisions, actions and open questions, each with its time. What
    the transcript does not bear out is left out. Its text is sent to the
    endpoint's chat model, nothing else.

    Exit codes: 0 all done, 1 some recordings failed or a part is missing,
    2 wrong usage, 3 the endpoint refuses the key, 4 a budget is reached,
    128 + N signal N.
    """
    if language is not None:
        check_language("--language", language)
    instruction = _prompt(prompt_file) if prompt_file is not None else None
    run_task(arguments, "summarize", summary(style, language, formats, instruction))


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

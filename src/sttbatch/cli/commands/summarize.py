"""sttbatch summarize: what was said in short, with the time of each point."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sttbatch.cli import options
from sttbatch.cli.language_options import LanguageArguments, run_task, takes_language_arguments
from sttbatch.cli.language_tasks import check_language, summary
from sttbatch.cli.options import option

# fmt: off
Language = Annotated[str | None, option(
    "Language of the summary, as an ISO-639-1 code.", "--language", "-l", metavar="CODE",
    default="that of the transcript")]
Formats = Annotated[str, option(
    "Output formats, separated by commas: md, json.", "--format", "-f", metavar="LIST")]
Glossary = Annotated[Path | None, option(
    "File of names and terms, one per line, that the summary spells as they are written there.",
    "--glossary", metavar="FILE", panel=options.LANGUAGE)]
# fmt: on


@takes_language_arguments
def summarize(
    arguments: LanguageArguments,
    style: options.Style = "brief",
    language: Language = None,
    formats: Formats = "md,json",
    prompt_file: options.PromptFile = None,
    glossary: Glossary = None,
) -> None:
    """Summarize transcripts: talk.mp3 gets talk.summary.md and talk.summary.json.

    Points, decisions, actions and open questions, each with its time. What
    the transcript does not support is left out. Only its text is sent, to
    the endpoint's chat model.

    Exit codes: 0 all done, 1 some recordings failed or a part is missing,
    2 wrong usage, 3 the endpoint refuses the key, 4 a budget is reached,
    128 + N signal N.
    """
    if language is not None:
        check_language("--language", language)
    run_task(arguments, "summarize", summary(style, language, formats, prompt_file, glossary))

"""sttbatch translate: transcripts in another language, with their times."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sttbatch.cli import options
from sttbatch.cli.language_options import LanguageArguments, run_task, takes_language_arguments
from sttbatch.cli.language_tasks import check_language, translation
from sttbatch.cli.options import option

# fmt: off
To = Annotated[str, option(
    "Language to translate into, as an ISO-639-1 code, such as en.", "--to", metavar="CODE")]
Formats = Annotated[str, option(
    "Output formats, separated by commas: srt, vtt, txt, tsv, json.",
    "--format", "-f", metavar="LIST")]
Glossary = Annotated[Path | None, option(
    "File of terms, one a line: term = translation.", metavar="FILE")]
MaxCps = Annotated[float | None, option(
    "Ask once for a shorter line if one has more than N characters a second, such as 17.",
    metavar="N", minimum=1, maximum=1000)]
# fmt: on


@takes_language_arguments
def translate(
    arguments: LanguageArguments,
    to: To,
    formats: Formats = "srt",
    glossary: Glossary = None,
    max_cps: MaxCps = None,
    max_line_width: options.MaxLineWidth = None,
    max_lines: options.MaxLines = None,
) -> None:
    """Translate transcripts line by line: talk.mp3 gets talk.en.srt.

    The times are those of the transcript. Its text is sent to the endpoint's
    chat model, nothing else.

    Exit codes: 0 all done, 1 some recordings failed or lines are missing,
    2 wrong usage, 3 the endpoint refuses the key, 4 a budget is reached,
    128 + N signal N.
    """
    from sttbatch.kinds.language.glossaries import read_glossary

    check_language("--to", to)
    terms = read_glossary(glossary) if glossary is not None else {}
    further = {"max_line_width": max_line_width, "max_lines": max_lines}
    run_task(arguments, "translate", translation(to, formats, terms, max_cps), further)

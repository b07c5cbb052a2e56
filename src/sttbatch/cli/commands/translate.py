"""sttbatch translate: transcripts in another language, with their times."""

from __future__ import annotations

from typing import Annotated

from sttbatch.cli import options
from sttbatch.cli.language_options import LanguageArguments, run_task, takes_language_arguments
from sttbatch.cli.language_tasks import check_language, translation
from sttbatch.cli.options import option

# fmt: off
To = Annotated[str, option(
    "Language to translate into, as an ISO-639-1 code, such as en.", "--to", metavar="CODE")]
Formats = Annotated[str, option(
    "Output formats, separated by commas: srt, vtt, txt, tsv, json, md, html, docx, rttm.",
    "--format", "-f", metavar="LIST")]
# fmt: on


@takes_language_arguments
def translate(
    arguments: LanguageArguments,
    to: To,
    formats: Formats = "srt",
    glossary: options.Glossary = None,
    max_cps: options.MaxCps = None,
    max_line_width: options.MaxLineWidth = None,
    max_lines: options.MaxLines = None,
    timestamps: options.Timestamps = None,
) -> None:
    """Translate transcripts line by line: talk.mp3 gets talk.en.srt.

    The times are those of the transcript. Only its text is sent, to the
    endpoint's chat model.

    Exit codes: 0 all done, 1 some recordings failed or lines are missing,
    2 wrong usage, 3 the endpoint refuses the key, 4 a budget is reached,
    128 + N signal N.
    """
    check_language("--to", to)
    further = {
        "max_line_width": max_line_width,
        "max_lines": max_lines,
        "timestamps": timestamps,
    }
    run_task(arguments, "translate", translation(to, formats, glossary, max_cps), further)

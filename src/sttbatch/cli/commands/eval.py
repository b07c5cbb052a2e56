"""sttbatch eval: word errors of transcripts against reference texts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sttbatch.cli.console.stdio import StandardOutput
from sttbatch.cli.console.text import counted, printable
from sttbatch.cli.exit_codes import OK, SOME_FAILED
from sttbatch.cli.options import AsJson, option
from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.composition.evaluating import Evaluation
    from sttbatch.composition.settings import LoadedSettings
    from sttbatch.processing.discovery import Candidate


# fmt: off
def eval(  # noqa: A001 - the command's name
    references: Annotated[Path, typer.Argument(
        metavar="REFERENCES", show_default=False,
        help="Folder of texts (txt, srt, vtt, tsv, json) named as their recordings, or one text.")],
    paths: Annotated[list[str] | None, typer.Argument(
        metavar="PATH...", show_default=False,
        help="Recordings or folders. \\[default: all that are known]")] = None,
    model: Annotated[str | None, option(
        "Only transcripts by this model.", metavar="NAME", default="all, compared")] = None,
    worst: Annotated[int, option(
        "Show the N lines with most errors, side by side.", metavar="N", minimum=0)] = 5,
    transcribe: Annotated[bool, option(
        "First send what has no transcript by the current settings.", "--transcribe")] = False,
    as_json: AsJson = False,
) -> None:
    """Count the errors of stored transcripts against what was said.

    Word and character error rates, of each recording and of all words together.
    Case, punctuation and the like do not count. Transcripts by several models or
    settings are compared. Nothing is sent without --transcribe.

    Exit codes: 1 something could not be compared, 2 wrong usage;
    with --transcribe those of transcribe.
    """
    # fmt: on
    import asyncio

    from sttbatch.composition.extras import needs_eval
    from sttbatch.composition.object_storage import objects_of
    from sttbatch.composition.settings import load_settings
    from sttbatch.processing.discovery import discover, expand

    with needs_eval():
        from sttbatch.composition.evaluating import evaluate, referenced
    from sttbatch.kinds.evaluation.references import References

    if not references.exists():
        raise UsageError(f"{references}: no such file or folder")
    texts = References(references)
    loaded = load_settings({"model": model} if transcribe else {})
    settings = loaded.settings
    discovery = discover(expand(paths), objects=objects_of(settings)) if paths else None
    code = OK
    if transcribe:
        if discovery is None:
            raise UsageError("--transcribe needs the recordings: sttbatch eval REFERENCES PATH")
        code = _transcribe(loaded, referenced(texts, discovery))
    evaluation = asyncio.run(evaluate(settings, texts, discovery, model, worst))
    _print(evaluation, as_json=as_json)
    if code == OK and evaluation.missing:
        code = SOME_FAILED
    raise typer.Exit(code)


def _transcribe(loaded: LoadedSettings, candidates: list[Candidate]) -> int:
    """Transcribe recordings for their texts alone: `transcribe` writes their outputs later."""
    import asyncio

    from msgspec.structs import replace

    from sttbatch.cli.run_log import output_mode
    from sttbatch.cli.transcribe_session import TranscribeSession
    from sttbatch.composition.credentials import load_key
    from sttbatch.composition.effective_options import RunFlags
    from sttbatch.core.options import OutputOptions
    from sttbatch.processing.discovery import Discovery

    settings = loaded.settings
    mode = output_mode(
        quiet=False, verbose=False, log_format="text", log_file=None, bars=sys.stderr.isatty()
    )
    key = load_key(settings) if settings.engine == "cloudru" else None
    session = TranscribeSession(settings, RunFlags(), mode, key, loaded.alerts)
    session.config = replace(session.config, outputs=OutputOptions(formats=()))
    return asyncio.run(session.transcribe_all(Discovery(candidates)))


def _print(evaluation: Evaluation, *, as_json: bool) -> None:
    """Print the figures on standard output, and what has none on standard error."""
    from sttbatch.cli.console.eval_lines import eval_json, eval_lines
    from sttbatch.kinds.evaluation.spoken_words import NORMALIZATION

    output = StandardOutput()
    text = (
        eval_json(evaluation, NORMALIZATION) if as_json else "\n".join(eval_lines(evaluation))
    )
    if text:
        output.write(text.encode("utf-8", "backslashreplace") + b"\n")
    for path, reason in evaluation.missing:
        _say(f"{path}: not compared: {reason}")
    if evaluation.unreferenced:
        _say(f"{counted(evaluation.unreferenced, 'recording')} without a reference")
    if evaluation.unused:
        _say(f"{counted(evaluation.unused, 'reference')} of other recordings")
    if output.fault is not None:
        raise UsageError(f"standard output cannot be written: {output.fault}; write it elsewhere")


def _say(text: str) -> None:
    print(f"sttbatch: {printable(text)}", file=sys.stderr)  # noqa: T201 - to people

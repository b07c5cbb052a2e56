"""sttbatch import: transcripts that other tools made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sttbatch.cli import options
from sttbatch.cli.console.progress_line import ProgressLine
from sttbatch.cli.console.stdio import StandardOutput
from sttbatch.cli.console.text import clock, counted, printable
from sttbatch.cli.exit_codes import SOME_FAILED
from sttbatch.cli.options import AsJson, option
from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.composition.importing import ImportedOutputs
    from sttbatch.composition.settings import Settings
    from sttbatch.core.options import OutputOptions

_COUNTED = {
    "imported": "imported",
    "updated": "updated",
    "unchanged": "unchanged",
    "transcribed": "of recordings that were already transcribed",
    "failed": "failed",
    "other": "skipped without a transcript",
}


# fmt: off
def import_(
    paths: Annotated[list[str], typer.Argument(
        metavar="PATH...", show_default=False, help="Files, folders or glob patterns.")],
    output_dir: Annotated[str | None, option(
        "Folder, or s3://bucket/prefix, for the outputs, which mirrors the input tree.",
        "--output-dir", "-o", metavar="DIR", default="beside each recording")] = None,
    formats: Annotated[str | None, option(
        "Write outputs too, in these formats, separated by commas.",
        "--format", "-f", metavar="LIST", default="none")] = None,
    words: options.Words = None,
    recording: Annotated[Path | None, option(
        "The recording that the given file is a transcript of.", metavar="FILE",
        default="by its name, beside it")] = None,
    overwrite: options.Overwrite = False,
    dry_run: Annotated[bool, option("Show what would be imported.", "--dry-run")] = False,
    as_json: AsJson = False,
) -> None:
    """Import transcripts made by Whisper, whisper.cpp, WhisperX or another sttbatch.

    search finds them; summarize and translate take them, by their recordings
    or, where these are gone, by the files themselves. A recording that is
    transcribed already keeps its transcript. Nothing is sent.

    Exit codes: 0 all imported, 1 a file cannot be read, 2 wrong usage.
    """
    # fmt: on
    import asyncio

    from sttbatch.composition.settings import load_settings

    given = {"formats": formats, "output_dir": output_dir, "words": words}
    settings = load_settings(given).settings
    found = _paths(paths)
    if recording is not None and (len(found) != 1 or found[0].is_dir()):
        raise UsageError("--recording is for one file")
    outputs = _output_options(settings, overwrite=overwrite, writes=formats is not None)
    work = _import(settings, found, outputs, recording, is_trial=dry_run, as_json=as_json)
    if asyncio.run(work):
        raise typer.Exit(SOME_FAILED)


def _paths(arguments: list[str]) -> list[Path]:
    from sttbatch.processing.discovery import expand

    found: list[Path] = []
    for each in expand(arguments):
        if not isinstance(each, Path):
            raise UsageError(f"{each}: objects cannot be imported; copy them to a folder first")
        found.append(each)
    return found


def _output_options(settings: Settings, *, overwrite: bool, writes: bool) -> OutputOptions:
    from msgspec.structs import replace

    from sttbatch.composition.effective_options import RunFlags, run_config_of

    if settings.output_dir == "-":
        raise UsageError("outputs cannot be printed; name a folder with -o, or omit it")
    found = run_config_of(settings, RunFlags(overwrite=overwrite)).outputs
    # That a setting names formats says what `transcribe` writes.
    return found if writes else replace(found, formats=())


async def _import(
    settings: Settings,
    paths: list[Path],
    outputs: OutputOptions,
    recording: Path | None,
    *,
    is_trial: bool,
    as_json: bool,
) -> bool:
    """Whether a file failed."""
    import json

    from sttbatch.composition.importing import import_transcripts

    output, counts, entries = StandardOutput(), Counter[str](), list[dict[str, Any]]()
    with ProgressLine("importing") as progress:
        async for each in import_transcripts(
            settings, paths, outputs, recording, is_trial=is_trial, progress=progress
        ):
            progress.clear()
            counts[each.imported.outcome] += 1
            for message in _messages(each):
                typer.echo(printable(message), err=True)
            if as_json:
                entries.append(_entry(each))
            elif line := _line(each):
                output.line(line)
    if as_json:
        facts = {"files": entries, "counts": {name: counts[name] for name in _COUNTED}}
        output.write(json.dumps(facts, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    total = counted(counts.total() - counts["other"], "transcript")
    parts = [f"{counts[name]} {text}" for name, text in _COUNTED.items() if counts[name]]
    would = " (nothing is stored: --dry-run)" if is_trial else ""
    typer.echo(f"{total}: {', '.join(parts) or 'nothing to import'}{would}", err=True)
    if output.fault is not None:
        raise UsageError(f"standard output cannot be written: {output.fault}; write it elsewhere")
    return counts["failed"] > 0


def _messages(done: ImportedOutputs) -> list[str]:
    imported = done.imported
    found = [each for each in (imported.subject.note,) if each]
    if imported.outcome == "failed":
        found.append(imported.reason)
    found = [f"{imported.file.path}: {each}" for each in found]
    kept = "not replaced: edited, or not written by sttbatch; --overwrite replaces it"
    return found + [f"{path}: {kept}" for path in done.kept]


def _line(done: ImportedOutputs) -> str | None:
    """What was imported or written, by its file; None: nothing."""
    imported, read = done.imported, done.imported.read
    is_new = imported.outcome in {"imported", "updated"}
    if read is None or not (is_new or done.paths):
        return None
    facts = [read.tool, read.transcript.language or "", clock(read.transcript.duration_s)]
    if imported.subject.recording is not None:
        facts.append(f"of {imported.subject.recording}")
    line = f"{imported.file.path}: {imported.outcome}: {', '.join(filter(None, facts))}"
    return f"{line} -> {', '.join(done.paths)}" if done.paths else line


def _entry(done: ImportedOutputs) -> dict[str, Any]:
    imported, read = done.imported, done.imported.read
    entry: dict[str, Any] = {"path": str(imported.file.path), "outcome": str(imported.outcome)}
    if reason := imported.reason or imported.subject.note:
        entry["reason"] = reason
    if read is not None:
        recording = imported.subject.recording
        entry |= {
            "tool": read.tool,
            "model": read.model or None,
            "language": read.transcript.language,
            "duration": round(read.transcript.duration_s, 3),
            "recording": None if recording is None else str(recording),
            "transcript": imported.key,
            "outputs": list(done.paths),
        }
    return entry

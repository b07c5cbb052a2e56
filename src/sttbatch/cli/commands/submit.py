"""sttbatch submit: queue recordings for workers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from sttbatch.cli import options
from sttbatch.cli.language_tasks import check_language, task_of_kind
from sttbatch.cli.options import option
from sttbatch.cli.transcribe_options import TranscribeOptions, takes_transcribe_options
from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import SUMMARY, TRANSCRIPTION, TRANSLATION

if TYPE_CHECKING:
    from sttbatch.cli.console.progress import OutputMode
    from sttbatch.cli.language_tasks import KindOfTask
    from sttbatch.composition.effective_options import RunFlags
    from sttbatch.composition.settings import LoadedSettings
    from sttbatch.monitoring.logs import EventLog
    from sttbatch.processing.discovery import Discovery

KINDS = (TRANSCRIPTION, SUMMARY, TRANSLATION)

# fmt: off
Wait = Annotated[bool, option("Wait for the workers, and exit as transcribe does.", "--wait")]
Kind = Annotated[str, option(
    "What workers make: transcription, summary or translation. The latter two first "
    "transcribe recordings that have no transcript.", metavar="KIND")]
To = Annotated[str | None, option(
    "Language of the translation, or of the summary, as an ISO-639-1 code.", "--to",
    metavar="CODE", panel=options.LANGUAGE)]
SubmittedStyle = Annotated[str | None, option(
    "Style of the summary.", "--style", metavar="brief|minutes|actions", default="brief",
    panel=options.LANGUAGE)]
# fmt: on


@takes_transcribe_options
def submit(
    arguments: TranscribeOptions,
    wait: Wait = False,
    kind: Kind = TRANSCRIPTION,
    to: To = None,
    style: SubmittedStyle = None,
    prompt_file: options.PromptFile = None,
    max_cps: options.MaxCps = None,
) -> None:
    """Queue recordings for `sttbatch worker`, with all options of transcribe.

    Needs no API key. Outputs of recordings that are already transcribed
    are written at once, the others by workers, whose own speed and limits
    apply.

    Exit codes: 0 all queued, with --wait all done, 1 some recordings failed,
    2 wrong usage, 128 + N signal N, which leaves the queue as it is.
    """
    from sttbatch.cli.run_log import logged

    if not arguments.dry_run:
        _check(arguments)
    if kind not in KINDS:
        raise UsageError(f"--kind is {', '.join(KINDS)}, not {kind!r}")
    if to is not None:
        check_language("--to", to)
    if kind != TRANSCRIPTION and arguments.model is not None:
        raise UsageError(
            f"--model is that of transcriptions; for --kind {kind} set STTBATCH_CHAT_MODEL, and "
            "STTBATCH_MODEL for what is transcribed first"
        )
    task = task_of_kind(
        kind,
        to,
        arguments.formats,
        style=style,
        prompt_file=prompt_file,
        glossary=arguments.glossary,
        max_cps=max_cps,
    )
    mode = arguments.mode()
    raise typer.Exit(logged(mode, partial(_submit, arguments, arguments.flags(), mode, wait, task)))


def _check(options: TranscribeOptions) -> None:
    """Raises UsageError for options that only a run of transcribe can follow."""
    if options.to_stdout:
        raise UsageError("workers cannot print here; name a folder with -o, or use transcribe")
    if options.max_cost is not None:
        raise UsageError(
            "--max-cost is the limit of one run; workers keep to budget_per_day, budget_per_month"
        )
    if options.device is not None:
        raise UsageError("--device is a worker's own: set STTBATCH_DEVICE where it runs")
    if options.fail_fast:
        raise UsageError("--fail-fast stops one run; `sttbatch jobs cancel` stops what is queued")


def _submit(
    options: TranscribeOptions,
    flags: RunFlags,
    mode: OutputMode,
    wait: bool,
    task: KindOfTask | None,
    log: EventLog | None,
) -> int:
    import asyncio

    from sttbatch.cli.submit_session import SubmitSession
    from sttbatch.cli.transcribe_session import TranscribeSession
    from sttbatch.composition.batch_run import BatchRun
    from sttbatch.composition.effective_options import run_config_of
    from sttbatch.composition.settings import load_settings

    given = options.settings()
    if task is not None:
        # Of the task, and not of what is transcribed first.
        given |= {"formats": None, "glossary": None}
    loaded = load_settings(given)
    settings = loaded.settings
    discovery = options.discover("submit", settings)
    if task is not None:
        return _submit_task(loaded, discovery, flags, mode, wait, task, log)
    if flags.dry_run:
        session = TranscribeSession(settings, flags, mode, None, loaded.alerts, log)
        return asyncio.run(session.forecast(discovery))
    submitting = SubmitSession(
        settings,
        mode,
        log,
        lambda listeners: BatchRun(settings, listeners=listeners, ends_process=True),
    )
    config = run_config_of(settings, flags)
    return asyncio.run(
        submitting.submit(lambda run: run.submit(discovery, config, flags.priority), wait=wait)
    )


def _submit_task(
    loaded: LoadedSettings,
    discovery: Discovery,
    flags: RunFlags,
    mode: OutputMode,
    wait: bool,
    task: KindOfTask,
    log: EventLog | None,
) -> int:
    import asyncio

    from msgspec.structs import replace

    from sttbatch.cli.language_session import LanguageSession
    from sttbatch.cli.submit_session import SubmitSession
    from sttbatch.composition.effective_options import run_config_of
    from sttbatch.composition.language_batch import LanguageBatch, LanguageOptions

    settings = loaded.settings
    outputs = replace(run_config_of(settings, flags).outputs, formats=task.formats)
    options = LanguageOptions(
        task.make, outputs, force=flags.force, no_wait=flags.no_wait, priority=flags.priority
    )
    if flags.dry_run:
        session = LanguageSession(settings, mode, None, loaded.alerts, log)
        return asyncio.run(session.forecast(discovery, options))
    submitting = SubmitSession(
        settings,
        mode,
        log,
        lambda listeners: LanguageBatch(settings, listeners=listeners, ends_process=True),
    )
    return asyncio.run(submitting.submit(lambda run: run.submit(discovery, options), wait=wait))

"""LanguageArguments: the options that `translate` and `summarize` share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sttbatch.cli import options
from sttbatch.cli.batch_options import BatchOptions, Paths, level_of, limit_of_cost, with_options
from sttbatch.cli.options import option
from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.cli.console.progress import OutputMode
    from sttbatch.cli.language_tasks import KindOfTask
    from sttbatch.composition.settings import Settings
    from sttbatch.core.options import OutputOptions
    from sttbatch.monitoring.logs import EventLog

# fmt: off
OutputDir = Annotated[str | None, option(
    "Folder, or s3://bucket/prefix, for the outputs, which mirrors the input tree.",
    "--output-dir", "-o", metavar="DIR", default="beside each recording")]
Model = Annotated[str | None, option(
    "Chat model to use.", metavar="NAME", default="openai/gpt-oss-120b", panel=options.ENGINE)]
Transcribe = Annotated[bool, option(
    "First transcribe recordings that have no transcript.", "--transcribe/--no-transcribe",
    panel=options.INPUT)]
Replace = Annotated[str | None, option(
    "File of lines `wrong => right`: words that are replaced in transcripts before the model reads "
    "them.", "--replace", metavar="FILE", default="as in the outputs of transcribe",
    panel=options.OUTPUT)]
Retries = Annotated[int | None, option(
    "Maximum retries per request.", metavar="N", default="3", panel=options.LIMITS)]
Force = Annotated[bool, option(
    "Ask again even if answers are stored.", "--force", panel=options.LIMITS)]
# fmt: on


@dataclass(frozen=True, slots=True)
class LanguageArguments(BatchOptions):
    """Arguments and options as they were given, in the order of `--help`."""

    paths: Paths = None
    output_dir: OutputDir = None
    dry_run: options.DryRun = False
    max_cost: options.MaxCost = None
    concurrency: options.Concurrency = None
    quiet: options.Quiet = False
    files_from: options.FilesFrom = None
    transcribe: Transcribe = True
    min_age: options.MinAge = "0"
    no_wait: options.NoWait = False
    replace: Replace = None
    overwrite: options.Overwrite = False
    model: Model = None
    base_url: options.BaseUrl = None
    priority: options.Priority = "medium"
    rate_limit: options.RateLimit = None
    retries: Retries = None
    outage_wait: options.OutageWait = None
    force: Force = False
    fail_fast: options.FailFast = False
    verbose: options.Verbose = False
    log_format: options.LogFormat = "text"
    log_file: options.LogFile = None
    no_progress: options.NoProgress = False

    def settings(self) -> dict[str, Any]:
        """The options that are settings, by name; None: not given."""
        names = (
            "output_dir", "base_url", "concurrency", "rate_limit", "retries", "outage_wait",
            "replace",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names} | {"chat_model": self.model}

    def outputs(self, settings: Settings, formats: tuple[str, ...]) -> OutputOptions:
        """Where outputs of these formats are written; raises UsageError if they are printed."""
        if settings.output_dir == "-":
            raise UsageError("outputs cannot be printed; name a folder with -o, or omit it")
        from sttbatch.composition.effective_options import rules_of
        from sttbatch.core.locations import location
        from sttbatch.core.options import OutputOptions

        return OutputOptions(
            formats=formats,
            directory=location(settings.output_dir) if settings.output_dir else None,
            max_line_width=settings.max_line_width,
            max_lines=settings.max_lines,
            overwrite=self.overwrite,
            timestamps=settings.timestamps,
            rules=rules_of(settings),
        )


takes_language_arguments = with_options(LanguageArguments)


def run_task(
    arguments: LanguageArguments,
    command: str,
    task: KindOfTask,
    settings: dict[str, Any] | None = None,
) -> None:
    """Run a task as `command`, and exit; `settings` are further options that are settings."""
    from sttbatch.cli.run_log import logged

    mode = arguments.mode()
    work = partial(_run_task, arguments, command, task, settings or {}, mode)
    raise typer.Exit(logged(mode, work))


def _run_task(
    arguments: LanguageArguments,
    command: str,
    task: KindOfTask,
    further: dict[str, Any],
    mode: OutputMode,
    log: EventLog | None,
) -> int:
    import asyncio

    from sttbatch.cli.language_session import LanguageSession
    from sttbatch.composition.credentials import HOW_TO, load_key
    from sttbatch.composition.language_batch import LanguageOptions
    from sttbatch.composition.settings import load_settings

    loaded = load_settings(arguments.settings() | further)
    settings = loaded.settings
    options = LanguageOptions(
        task.make,
        arguments.outputs(settings, task.formats),
        arguments.transcribe,
        arguments.force,
        arguments.no_wait,
        arguments.fail_fast,
        limit_of_cost(arguments.max_cost),
        level_of(arguments.priority),
    )
    discovery = arguments.discover(command, settings)
    key = None if arguments.dry_run else load_key(settings, HOW_TO)
    session = LanguageSession(settings, mode, key, loaded.alerts, log)
    work = session.forecast if arguments.dry_run else session.run
    return asyncio.run(work(discovery, options))

"""sttbatch submit: queue recordings for workers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from sttbatch.cli.options import option
from sttbatch.cli.transcribe_options import TranscribeOptions, takes_transcribe_options
from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.cli.console.progress import OutputMode
    from sttbatch.composition.effective_options import RunFlags
    from sttbatch.monitoring.logs import EventLog

Wait = Annotated[bool, option("Wait for the workers, and exit as transcribe.", "--wait")]


@takes_transcribe_options
def submit(options: TranscribeOptions, wait: Wait = False) -> None:
    """Queue recordings for `sttbatch worker`, with all options of transcribe.

    Needs no API key. Outputs of recordings that are already transcribed
    are written at once, the others by workers, whose own speed and limits
    apply.

    Exit codes: 0 all queued, with --wait all done, 1 some recordings failed,
    2 wrong usage, 128 + N signal N, which leaves the queue as it is.
    """
    from sttbatch.cli.run_log import logged

    if not options.dry_run:
        _check(options)
    mode = options.mode()
    raise typer.Exit(logged(mode, partial(_submit, options, options.flags(), mode, wait)))


def _check(options: TranscribeOptions) -> None:
    """Raises UsageError for options that only a run of transcribe can follow."""
    if options.to_stdout:
        raise UsageError("workers cannot print here; name a folder with -o, or use transcribe")
    if options.max_cost is not None:
        raise UsageError(
            "--max-cost is the limit of one run; workers keep to budget_per_day, budget_per_month"
        )
    if options.fail_fast:
        raise UsageError("--fail-fast stops one run; `sttbatch jobs cancel` stops what is queued")


def _submit(
    options: TranscribeOptions, flags: RunFlags, mode: OutputMode, wait: bool, log: EventLog | None
) -> int:
    import asyncio

    from sttbatch.cli.submit_session import SubmitSession
    from sttbatch.cli.transcribe_session import TranscribeSession
    from sttbatch.composition.settings import load_settings

    loaded = load_settings(options.settings())
    discovery = options.discover("submit", loaded.settings)
    if flags.dry_run:
        session = TranscribeSession(loaded.settings, flags, mode, None, loaded.alerts, log)
        return asyncio.run(session.forecast(discovery))
    return asyncio.run(SubmitSession(loaded.settings, flags, mode, log).submit(discovery, wait))

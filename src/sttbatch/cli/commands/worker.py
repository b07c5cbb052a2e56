"""sttbatch worker: work on what was submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from sttbatch.cli import options

if TYPE_CHECKING:
    from sttbatch.cli.console.progress import OutputMode
    from sttbatch.monitoring.logs import EventLog


def worker(
    concurrency: options.Concurrency = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = "text",
    log_file: options.LogFile = None,
    metrics_port: options.MetricsPort = None,
    remote_write: options.RemoteWrite = None,
) -> None:
    """Transcribe what `sttbatch submit` queued, until a signal.

    The highest priority comes first, then the oldest. Prints the path of each
    order's first output. After the first signal it takes no more recordings
    and finishes requests in flight; the second one quits.

    Exit codes: 1 the ledger cannot be used, 2 wrong usage,
    3 the endpoint refuses the key, 128 + N signal N.
    """
    from functools import partial

    from sttbatch.cli.run_log import logged, output_mode

    mode = output_mode(
        quiet=quiet, verbose=verbose, log_format=log_format, log_file=log_file, bars=False
    )
    raise typer.Exit(logged(mode, partial(_work, concurrency, mode, metrics_port, remote_write)))


def _work(
    concurrency: str | None,
    mode: OutputMode,
    metrics_port: int | None,
    remote_write: str | None,
    log: EventLog | None,
) -> int:
    import asyncio

    from sttbatch.cli.worker_session import WorkerSession
    from sttbatch.composition.credentials import load_key
    from sttbatch.composition.settings import load_settings

    loaded = load_settings({"concurrency": concurrency})
    settings = loaded.settings
    key = load_key(settings) if settings.engine == "cloudru" else None
    session = WorkerSession(settings, mode, key, loaded.alerts, log, metrics_port, remote_write)
    return asyncio.run(session.work())

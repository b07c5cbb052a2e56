"""sttbatch worker: work on what was submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    given = {
        "concurrency": concurrency,
        "metrics_port": metrics_port,
        "remote_write": remote_write,
    }
    raise typer.Exit(logged(mode, partial(_work, given, mode)))


def _work(given: Mapping[str, Any], mode: OutputMode, log: EventLog | None) -> int:
    import asyncio

    from sttbatch.cli.worker_session import WorkerSession
    from sttbatch.composition.credentials import load_key
    from sttbatch.composition.settings import load_settings

    loaded = load_settings(given)
    settings = loaded.settings
    key = load_key(settings) if settings.engine == "cloudru" else None
    session = WorkerSession(settings, mode, key, loaded.alerts, log)
    return asyncio.run(session.work())

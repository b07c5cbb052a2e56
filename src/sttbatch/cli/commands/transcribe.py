"""sttbatch transcribe: turn recordings into transcripts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import typer

from sttbatch.cli.transcribe_options import TranscribeOptions, takes_transcribe_options

if TYPE_CHECKING:
    from sttbatch.cli.console.progress import OutputMode
    from sttbatch.composition.effective_options import RunFlags
    from sttbatch.monitoring.logs import EventLog


@takes_transcribe_options
def transcribe(options: TranscribeOptions) -> None:
    """Transcribe recordings, and every recording or video in folders.

    Prints the path of each finished recording's first output.

    Exit codes: 0 all done, 1 some recordings failed, 2 wrong usage,
    3 the endpoint refuses the key, 4 a budget is reached, 128 + N signal N.
    """
    from sttbatch.cli.run_log import logged

    mode = options.mode()
    raise typer.Exit(logged(mode, partial(_transcribe, options, options.flags(), mode)))


def _transcribe(
    options: TranscribeOptions, flags: RunFlags, mode: OutputMode, log: EventLog | None
) -> int:
    import asyncio

    from sttbatch.cli.transcribe_session import TranscribeSession
    from sttbatch.composition.credentials import load_key
    from sttbatch.composition.settings import load_settings

    loaded = load_settings(options.settings())
    discovery = options.discover("transcribe", loaded.settings)
    settings, dry_run = loaded.settings, flags.dry_run
    key = load_key(settings) if settings.engine == "cloudru" and not dry_run else None
    session = TranscribeSession(settings, flags, mode, key, loaded.alerts, log)
    work = session.forecast if dry_run else session.transcribe_all
    return asyncio.run(work(discovery))

"""sttbatch watch: transcribe what is in folders, and what arrives in them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from sttbatch.cli import options
from sttbatch.cli.batch_options import with_options
from sttbatch.cli.options import option
from sttbatch.cli.transcribe_options import TranscribeOptions
from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.cli.console.progress import OutputMode
    from sttbatch.composition.settings import Settings
    from sttbatch.composition.watch_process import Watched
    from sttbatch.monitoring.logs import EventLog

_LEAST_POLL_S = 1.0

# Those of a single run; a recording that is claimed by another run is looked at again later.
_NOT_TAKEN = (
    "paths", "files_from", "min_age", "dry_run", "force", "fail_fast", "no_wait", "no_progress",
)  # fmt: skip

# fmt: off
Folders = Annotated[list[str], typer.Argument(
    metavar="DIR...", show_default=False, help="Folders, or s3://bucket/prefix.")]
Settle = Annotated[str, option(
    "How long a file must be unchanged before it is transcribed, such as 60 or 5m.", metavar="D",
    panel=options.INPUT)]
Poll = Annotated[str, option(
    "How often to look at all folders, whether the system reports changes or not: for network "
    "folders and s3:// it reports none.", metavar="D", panel=options.INPUT)]
# fmt: on


@with_options(TranscribeOptions, without=_NOT_TAKEN)
def watch(
    arguments: TranscribeOptions, folders: Folders, settle: Settle = "60", poll: Poll = "5m"
) -> None:
    """Transcribe what is in folders, and what arrives or changes, until a signal.

    Prints the path of each finished recording's first output, and a summary
    after each batch. Waits for the endpoint, and for a budget, as long as it
    takes. After the first signal it begins nothing new and finishes requests
    in flight; the second one quits.

    Exit codes: 1 the ledger cannot be used, 2 wrong usage,
    3 the endpoint refuses the key, 4 --max-cost is reached, 128 + N signal N.
    """
    from sttbatch.cli.run_log import logged, output_mode

    mode = output_mode(
        quiet=arguments.quiet,
        verbose=arguments.verbose,
        log_format=arguments.log_format,
        log_file=arguments.log_file,
        bars=False,
        text=arguments.to_stdout,
    )
    work = partial(_watch, folders, arguments, settle, poll, mode)
    raise typer.Exit(logged(mode, work))


def _watch(
    folders: list[str],
    arguments: TranscribeOptions,
    settle: str,
    poll: str,
    mode: OutputMode,
    log: EventLog | None,
) -> int:
    import asyncio

    from sttbatch.cli.watch_session import WatchSession
    from sttbatch.composition.credentials import load_key
    from sttbatch.composition.settings import load_settings

    flags, loaded = arguments.flags(), load_settings(arguments.settings())
    settings = loaded.settings
    watched = _watched(folders, settle, poll, settings)
    key = load_key(settings) if settings.engine == "cloudru" else None
    session = WatchSession(settings, flags, watched, mode, key, loaded.alerts, log)
    return asyncio.run(session.watch())


def _watched(arguments: list[str], settle: str, poll: str, settings: Settings) -> Watched:
    from pathlib import Path

    from sttbatch.composition.object_storage import objects_of
    from sttbatch.composition.setting_values import option_s
    from sttbatch.composition.watch_process import Watched
    from sttbatch.processing.discovery import discover, expand

    settle_s, poll_s = option_s("--settle", settle), option_s("--poll", poll)
    if poll_s < _LEAST_POLL_S:
        raise UsageError(f"--poll {poll}: at least {_LEAST_POLL_S:.0f} s")
    paths = expand(arguments)
    folders = [path for path in paths if isinstance(path, Path)]
    for path in folders:
        if not path.is_dir():
            raise UsageError(f"{path}: not a folder; `sttbatch transcribe` takes single recordings")
    objects = objects_of(settings)

    # As if they were listed: what cannot be read now may be readable in the next look.
    look = partial(discover, (), objects=objects, listed=paths, may_be_empty=True)
    return Watched(folders, look, settle_s, poll_s)

"""Options that commands over recordings share, and how typer gets them."""

from __future__ import annotations

import codecs
import inspect
import math
import os
import sys
from collections.abc import Callable, Collection
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import JobPriority

if TYPE_CHECKING:
    from sttbatch.cli.console.progress import OutputMode
    from sttbatch.composition.settings import Settings
    from sttbatch.processing.discovery import Discovery

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH...", help="Recordings, folders, glob patterns or s3://bucket/prefix."
    ),
]


class BatchOptions:
    """Arguments and options as they were given: a dataclass's fields, in the order of `--help`."""

    __slots__ = ()

    if TYPE_CHECKING:
        paths: list[str] | None
        files_from: str | None
        min_age: str
        quiet: bool
        verbose: bool
        log_format: str
        log_file: Path | None
        no_progress: bool

    @property
    def to_stdout(self) -> bool:
        """Whether transcripts are printed instead of written to files."""
        return False

    def mode(self) -> OutputMode:
        """What is printed and logged; raises UsageError for an unknown format."""
        from sttbatch.cli.run_log import output_mode

        return output_mode(
            quiet=self.quiet,
            verbose=self.verbose,
            log_format=self.log_format,
            log_file=self.log_file,
            bars=sys.stderr.isatty() and not self.no_progress,
            text=self.to_stdout,
        )

    def discover(self, command: str, settings: Settings) -> Discovery:
        """The recordings that are named to `command`, or are below what is named."""
        from sttbatch.composition.object_storage import objects_of
        from sttbatch.composition.setting_values import option_s
        from sttbatch.core.locations import Location, location
        from sttbatch.processing.discovery import discover, expand

        min_age_s = option_s("--min-age", self.min_age)
        named, listed = expand(self.paths or []), list[Location]()
        if self.files_from is not None:
            listed += map(location, _lines(self.files_from))
        if not named and self.files_from is None:
            raise UsageError(
                f"give at least one recording or folder; see sttbatch {command} --help"
            )
        return discover(named, min_age_s, objects_of(settings), listed)


def limit_of_cost(max_cost: float | None) -> float | None:
    """The value of --max-cost; raises UsageError if it is none."""
    if max_cost is not None and math.isnan(max_cost):
        raise UsageError("--max-cost nan is not a limit; give a number")
    return max_cost


def level_of(priority: str) -> JobPriority:
    """The value of --priority; raises UsageError for an unknown one."""
    if priority.upper() not in JobPriority.__members__:
        raise UsageError(f"--priority is high, medium or low, not {priority!r}")
    return JobPriority[priority.upper()]


def with_options(
    shared_options: type[Any], without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a command of typer whose first argument is `shared_options`; its own options follow.

    Those that it is `without` have their defaults.
    """

    def wrapped(command: Callable[..., None]) -> Callable[..., None]:
        return _command(command, shared_options, without)

    return wrapped


def _command(
    command: Callable[..., None], shared_options: type[Any], without: Collection[str]
) -> Callable[..., None]:
    hints = get_type_hints(command, include_extras=True)
    own = list(inspect.signature(command).parameters.values())[1:]
    shared = [each for each in _parameters(shared_options) if each.name not in without]
    names = [parameter.name for parameter in shared]

    def run(**given: Any) -> None:
        command(
            shared_options(**{name: given[name] for name in names}),
            **{parameter.name: given[parameter.name] for parameter in own},
        )

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        *shared,
        *(each.replace(kind=keyword, annotation=hints[each.name]) for each in own),
    ]
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _parameters(shared_options: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(shared_options, include_extras=True)
    assert all(each.default is not MISSING for each in fields(shared_options))
    return [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=each.default,
            annotation=hints[each.name],
        )
        for each in fields(shared_options)
    ]


def _lines(source: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"--files-from {source}: {error.strerror}") from error
    # Windows' editors and PowerShell begin a text with it.
    data = data.removeprefix(codecs.BOM_UTF8)
    # Names may contain any byte but NUL, which `find -print0` writes between names.
    parts = data.split(b"\0") if b"\0" in data else data.replace(b"\r\n", b"\n").split(b"\n")
    return [os.fsdecode(part) for part in parts if part.strip()]

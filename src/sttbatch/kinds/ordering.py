"""What an order of a transcription says, and which workers may take it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.addresses import origins
from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import TRANSCRIPTION
from sttbatch.core.locations import location
from sttbatch.core.options import OUTPUT_FORMATS, OutputOptions, RequestOptions
from sttbatch.core.orders import Order
from sttbatch.kinds.transcription.spec import outputs_to_builtins
from sttbatch.processing.discovery import Candidate

ENDPOINT_ENGINE = "cloudru"
"""The engine whose workers ask an endpoint, which has language models too."""


class PlacedOrder(Struct, frozen=True):
    """An order, the recording's path as the user gave it, and its length in seconds.

    `how` as in `JobCompleted`.
    """

    order: Order
    display_path: str
    audio_s: float
    how: str = "transcribed"


def route_of(request: RequestOptions) -> str:
    """The route of a request: workers with the same engine and endpoint, or local model."""
    return route_to(request.engine, request.origin or request.model)


def route_to(engine: str, where: str) -> str:
    """The route to workers with an engine at an origin, or with a local model.

    They take jobs of every kind; the name is that of the first one.
    """
    where = origins(where)[0] if engine == ENDPOINT_ENGINE else where
    return f"{TRANSCRIPTION} {engine} {where}"


def orders_of(
    job_id: str,
    copies: Sequence[Candidate],
    audio_s: float,
    options: OutputOptions,
    route: str,
    *,
    force: bool,
) -> list[PlacedOrder]:
    """An order for each copy of a recording, for the job in its row."""
    directory = options.directory
    if directory is not None:
        options = replace(options, directory=location(directory).absolute())
    outputs = outputs_to_json(options)
    return [
        PlacedOrder(
            Order.of(
                job_id,
                str(copy.path.absolute()),
                str(location(copy.root).absolute()),
                outputs,
                route,
                force=force,
            ),
            copy.display_path,
            audio_s,
        )
        for copy in copies
    ]


def outputs_to_json(options: OutputOptions) -> str:
    """Output options in ASCII, as databases reject lone surrogates."""
    return json.dumps(outputs_to_builtins(options), sort_keys=True)


def outputs_from_json(text: str) -> OutputOptions:
    """Parse output options; raises UsageError if this version does not know them."""
    try:
        options = msgspec.convert(
            json.loads(text), OutputOptions, dec_hook=lambda _, value: location(value)
        )
    except (ValueError, msgspec.ValidationError) as error:
        raise UsageError(
            f"the order is damaged, or of a newer version ({error}); upgrade sttbatch"
        ) from error
    unknown = [name for name in options.formats if name.rpartition(".")[2] not in OUTPUT_FORMATS]
    if unknown:
        raise UsageError(
            f"the order is of a newer version (formats {', '.join(unknown)}); upgrade sttbatch"
        )
    return options

"""What an order of a transcription says, and which workers may take it."""

from __future__ import annotations

import json

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.addresses import origins
from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import TRANSCRIPTION
from sttbatch.core.locations import location
from sttbatch.core.options import OutputOptions, RequestOptions
from sttbatch.core.orders import Order
from sttbatch.kinds.transcription.recording_job import RecordingJob
from sttbatch.kinds.transcription.spec import RunConfig, outputs_to_builtins


class PlacedOrder(Struct, frozen=True):
    """An order, the recording's path as the user gave it, and its length in seconds."""

    order: Order
    display_path: str
    audio_s: float


def route_of(request: RequestOptions) -> str:
    """The route of a request: workers with the same engine and endpoint, or local model."""
    where = origins(request.origin)[0] if request.origin else request.model
    return f"{TRANSCRIPTION} {request.engine} {where}"


def orders_of(job: RecordingJob, config: RunConfig) -> list[PlacedOrder]:
    """An order for each copy of a recording, for the job in its row."""
    directory = config.outputs.directory
    options = config.outputs
    if directory is not None:
        options = replace(options, directory=location(directory).absolute())
    outputs, route = outputs_to_json(options), route_of(config.request)
    return [
        PlacedOrder(
            Order.of(
                job.id,
                str(copy.path.absolute()),
                str(location(copy.root).absolute()),
                outputs,
                route,
                force=config.run.force,
            ),
            copy.display_path,
            job.billable_s,
        )
        for copy in job.candidates
    ]


def outputs_to_json(options: OutputOptions) -> str:
    """Output options in ASCII, as databases reject lone surrogates."""
    return json.dumps(outputs_to_builtins(options), sort_keys=True)


def outputs_from_json(text: str) -> OutputOptions:
    """Parse output options; raises UsageError if this version does not know them."""
    try:
        return msgspec.convert(
            json.loads(text), OutputOptions, dec_hook=lambda _, value: location(value)
        )
    except (ValueError, msgspec.ValidationError) as error:
        raise UsageError(f"the order is damaged, or of a newer version ({error})") from error

"""Transcribes recordings for a task that needs their texts."""

from __future__ import annotations

import contextlib

from msgspec.structs import replace

from sttbatch.composition.run_monitoring import end_of, measured
from sttbatch.composition.settings import Settings
from sttbatch.composition.workshop import Workshop, transcription_run
from sttbatch.core import events
from sttbatch.core.options import OutputOptions
from sttbatch.execution.pay_once import RunBudget
from sttbatch.kinds.language.pipeline import Transcribe
from sttbatch.kinds.language.text_job import LanguageConfig
from sttbatch.kinds.report import BatchReport, Outcome
from sttbatch.kinds.run_control import RunControl
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.processing.discovery import Discovery


def transcribing(
    workshop: Workshop,
    settings: Settings,
    transcription: RunConfig,
    config: LanguageConfig,
    control: RunControl,
    budget: RunBudget,
    emit: events.Emit,
    *,
    measures: bool,
) -> Transcribe:
    """Transcribes recordings for their texts alone: `transcribe` writes their outputs later.

    `measures`: it is measured as a run of its own; what a worker does is measured anyway.
    """

    def warn(message: str) -> None:
        emit(events.Warned("", message))

    async def transcribe(discovery: Discovery) -> set[str]:
        report = BatchReport()
        listeners: list[events.Emit] = [report, _forwarded(emit)]

        def nested(event: events.Event) -> None:
            for listener in listeners:
                listener(event)

        left = None if budget.limit is None else max(0.0, budget.limit - budget.spent)
        run = replace(
            transcription.run,
            max_cost=left,
            no_wait=config.no_wait,
            fail_fast=control.fail_fast,
        )
        nested_config = replace(transcription, run=run, outputs=OutputOptions(formats=()))
        pipeline = transcription_run(workshop, nested_config, nested, priority=config.priority)
        if control.closed:
            pipeline.control.stop()
        # Their outputs, if there are any, are those of the task.
        plain = [replace(each, outputs=None) for each in discovery.candidates]
        async with contextlib.AsyncExitStack() as opened:
            if measures:
                measuring = measured(settings, lambda: end_of(report), warn)
                collector = await opened.enter_async_context(measuring)
                listeners += [] if collector is None else [collector]
            await pipeline.run(Discovery(plain))
        budget.spent += report.cost
        if report.count(Outcome.FAILED):
            control.recording_failed()
        # It ends this run too, which must yet know what is reported.
        with control.guard():
            if report.fatal is not None:
                raise report.fatal
        ended = (each for each in report.recordings if each.outcome is not Outcome.DONE)
        return {each.display_path for each in ended}

    return transcribe


def _forwarded(emit: events.Emit) -> events.Emit:
    """Forwards the events of a transcription but for those of what is to be done with it yet."""

    def forward(event: events.Event) -> None:
        match event:
            case events.JobCompleted() | events.FileProcessingCompleted():
                pass
            case events.RunStopped() | events.FilesSkipped():
                pass
            case _:
                emit(event)

    return forward
